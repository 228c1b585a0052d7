import { useQuery } from "@tanstack/react-query";
import { api, body } from "./client";

const REFRESH_MS = 10_000;

/** Every rule group in force, with its rules and their states. */
export function useRules() {
  return useQuery({
    queryKey: ["rules"],
    queryFn: ({ signal }) => body(api.GET("/api/fleet/v1/rules", { signal })),
    refetchInterval: REFRESH_MS,
  });
}
