import { QueryClient, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, body } from "./client";

const REFRESH_MS = 5_000;
const LARGE_FLEET = 2_000;
export const MOST_HOSTS = 10_000;

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // No silent retries: the next refresh is one, and meanwhile the page says what is wrong.
      queries: { retry: false, staleTime: 1_000, networkMode: "always" },
    },
  });
}

/** The whole fleet: sorted, searched and paged in the browser. */
export function useHosts() {
  return useQuery({
    queryKey: ["hosts"],
    queryFn: ({ signal }) =>
      body(api.GET("/api/fleet/v1/hosts", { params: { query: { limit: MOST_HOSTS } }, signal })),
    refetchInterval: ({ state }) => ((state.data?.hosts.length ?? 0) > LARGE_FLEET ? 3 : 1) * REFRESH_MS,
  });
}

export function useHost(host: string) {
  return useQuery({
    queryKey: ["host", host],
    queryFn: ({ signal }) =>
      body(api.GET("/api/fleet/v1/hosts/{host}", { params: { path: { host } }, signal })),
    refetchInterval: REFRESH_MS,
  });
}

/** Alerts that fire now, of one host or of all. */
export function useAlerts(host: string | null) {
  return useQuery({
    queryKey: ["alerts", host],
    queryFn: ({ signal }) =>
      body(api.GET("/api/fleet/v1/alerts", { params: { query: byHost(host) }, signal })),
    refetchInterval: REFRESH_MS,
  });
}

/** Transitions, newest first; a further page on demand. */
export function useAlertHistory(host: string | null) {
  return useInfiniteQuery({
    queryKey: ["history", host],
    queryFn: ({ signal, pageParam }) => {
      const query = { ...byHost(host), limit: 50, ...(pageParam === null ? {} : { cursor: pageParam }) };
      return body(api.GET("/api/fleet/v1/alerts/history", { params: { query }, signal }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > 1 ? false : REFRESH_MS),
  });
}

function byHost(host: string | null): { host?: string } {
  return host === null ? {} : { host };
}
