import type { ExplainedSeries, ExplainedSpan, Explanation } from "../../api/client";
import { clock, duration } from "../../format/time";
import { ValueLine } from "./ValueLine";

const STATES: Readonly<Record<ExplainedSpan["state"], string>> = {
  inactive: "Not met",
  pending: "Met, waiting for its time to pass",
  firing: "Firing",
  held: "Held, because data are missing",
  stale: "Firing, no data any more",
};

/** One series of a rule's result: its value against the limits, and its state as a bar and in words. */
export function Track({ series, explanation }: { series: ExplainedSeries; explanation: Explanation }) {
  const from = Date.parse(explanation.since);
  const whole = Math.max(1, Date.parse(explanation.at) - from);
  const length = (span: ExplainedSpan) => Date.parse(span.until) - Date.parse(span.since);
  const share = (ms: number) => `${(100 * ms) / whole}%`;
  return (
    <section className="explained">
      <h2>{seriesName(series.labels)}</h2>
      <ValueLine points={series.points} levels={explanation.levels} from={from} whole={whole} />
      <div className="state-bar" aria-hidden="true">
        {series.spans.map((span) => (
          <span
            key={span.since}
            className={`span-${span.state}`}
            style={{ left: share(Date.parse(span.since) - from), width: share(length(span)) }}
          />
        ))}
      </div>
      <ol>
        {series.spans.map((span) => (
          <li key={span.since}>
            <time dateTime={span.since}>{clock(span.since)}</time>
            <span>
              {STATES[span.state]}
              {span.severity !== "" && ` (${span.severity})`}
            </span>
            <span>{duration(length(span))}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function seriesName(labels: Record<string, string>): string {
  const own = Object.entries(labels).filter(([name]) => !["job", "instance", "__name__"].includes(name));
  const shown = own.length > 0 ? own : Object.entries(labels);
  return shown.map(([name, value]) => `${name}="${value}"`).join(" ") || "The one series";
}
