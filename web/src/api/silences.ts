import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, body, type SilenceChange } from "./client";

const KEY = ["silences"];
const REFRESH_MS = 10_000;

/** Silences, acknowledgements and maintenance windows; those that are over for a few days. */
export function useSilences() {
  return useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => body(api.GET("/api/fleet/v1/silences", { signal })),
    refetchInterval: REFRESH_MS,
  });
}

/** Makes one, or changes the one that is named; what is shown is asked for again. */
export function useSaveSilence() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, change }: { id?: string; change: SilenceChange }) =>
      id === undefined
        ? body(api.POST("/api/fleet/v1/silences", { body: change }))
        : body(
            api.PUT("/api/fleet/v1/silences/{identity}", {
              params: { path: { identity: id } },
              body: change,
            }),
          ),
    onSuccess: () => client.invalidateQueries({ queryKey: KEY }),
    networkMode: "always",
  });
}

/** Every change of one, the newest first. */
export function useSilenceHistory(id: string) {
  return useQuery({
    queryKey: [...KEY, id],
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/fleet/v1/silences/{identity}/history", { params: { path: { identity: id } }, signal }),
      ),
  });
}

/** Ends one now, in somebody's name. */
export function useExpireSilence() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, by }: { id: string; by: string }) =>
      body(
        api.DELETE("/api/fleet/v1/silences/{identity}", {
          params: { path: { identity: id }, query: { by } },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: KEY }),
    networkMode: "always",
  });
}
