import { useState } from "react";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import type { Chart } from "./charts";
import { Legend } from "./Legend";
import type { Plot } from "./lines";
import type { Range } from "./ranges";
import { TimeChart } from "./TimeChart";
import { useChart } from "./useChart";

/** One chart with its title, its states and its legend, which is also its text for who cannot see it. */
export function ChartPanel({ host, chart, range }: { host: string; chart: Chart; range: Range }) {
  const query = useChart(host, chart, range);
  return (
    <figure className="chart" aria-busy={query.isPlaceholderData} data-chart={chart.id}>
      <figcaption>
        <h3>{chart.title}</h3>
        <p>{chart.about}</p>
      </figcaption>
      <Answer query={query} what={`${chart.title} samples`}>
        {(plot) =>
          plot.lines.length === 0 ? (
            <Empty title="No samples in this range." />
          ) : (
            <Drawing chart={chart} plot={plot} range={range} />
          )
        }
      </Answer>
    </figure>
  );
}

function Drawing({ chart, plot, range }: { chart: Chart; plot: Plot; range: Range }) {
  const [cursor, setCursor] = useState<number | null>(null);
  return (
    <>
      <TimeChart chart={chart} plot={plot} stepMs={range.stepMs} onCursor={setCursor} />
      <Legend unit={chart.unit} plot={plot} cursor={cursor} />
    </>
  );
}
