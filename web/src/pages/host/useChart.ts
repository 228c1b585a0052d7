import { useQuery } from "@tanstack/react-query";
import { api, body, type Samples, serverNow } from "../../api/client";
import { type Chart, plot, type Source } from "./charts";
import { type Plot, stepStarts } from "./lines";
import { type Range, windowOf } from "./ranges";

/** A chart's plot of the range that ends now, refreshed in place; while a new range loads, the one before stays. */
export function useChart(host: string, chart: Chart, range: Range) {
  return useQuery({
    queryKey: ["chart", host, chart.id, range.id],
    queryFn: async ({ signal }): Promise<Plot> => {
      const { start, end } = windowOf(range, serverNow());
      const answers = await Promise.all(
        chart.sources.map((source) => fetchSource(host, source, start, end, range.stepMs, signal)),
      );
      return plot(chart, answers, stepStarts(start, end, range.stepMs));
    },
    refetchInterval: range.refreshMs,
    placeholderData: (before, query) => (query?.queryKey[1] === host ? before : undefined),
  });
}

function fetchSource(
  host: string,
  source: Source,
  start: number,
  end: number,
  stepMs: number,
  signal: AbortSignal,
): Promise<Samples> {
  const query = {
    metric: source.metric,
    host: [host],
    match: source.match ?? [],
    start: new Date(start).toISOString(),
    end: new Date(end).toISOString(),
    step: String(stepMs / 1000),
    aggregate: source.aggregate,
  };
  // The client spreads a point's two members into a list of either; the generated type is the exact one.
  return body(api.GET("/api/fleet/v1/samples", { params: { query }, signal })) as Promise<Samples>;
}
