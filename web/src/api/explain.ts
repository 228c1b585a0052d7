import { useQuery } from "@tanstack/react-query";
import { api, body, type Explanation } from "./client";

export interface Question {
  rule: string;
  host: string;
  /** RFC 3339; empty: now, and again every few seconds. */
  at: string;
  before: string;
}

/** Why a rule fires on a host, or does not. */
export function useExplanation({ rule, host, at, before }: Question) {
  return useQuery({
    queryKey: ["explain", rule, host, at, before],
    queryFn: ({ signal }): Promise<Explanation> => {
      const query = { host, before, ...(at === "" ? {} : { at }) };
      return body(
        api.GET("/api/fleet/v1/rules/{name}/explain", { params: { path: { name: rule }, query }, signal }),
      );
    },
    refetchInterval: at === "" ? 10_000 : false,
  });
}
