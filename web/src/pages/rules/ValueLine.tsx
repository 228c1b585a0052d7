import type { ExplainedLevel, ExplainedSeries } from "../../api/client";
import { alertValue, plain } from "../../format/number";
import { limits, segments } from "./values";

interface Props {
  points: ExplainedSeries["points"];
  levels: ExplainedLevel[];
  from: number;
  whole: number;
}

const [WIDTH, HEIGHT] = [1000, 100];

/** The value over time and its limits, dashed. What it says is also in its label. */
export function ValueLine({ points, levels, from, whole }: Props) {
  const lines = segments(points, from, whole);
  const bounds = limits(levels);
  const values = [...lines.flat().map(([, value]) => value), ...bounds];
  if (lines.length === 0) return <p className="absent">There is no number in this time.</p>;
  const least = Math.min(0, ...values);
  const most = Math.max(...values);
  const span = most - least || 1;
  const y = (value: number) => HEIGHT - (HEIGHT * (value - least)) / span;
  const newest = lines.at(-1)?.at(-1)?.[1] ?? null;
  return (
    <figure className="value-figure">
      <svg
        className="value-line"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Value over time: at last ${plain(newest)}, at most ${plain(Math.max(...lines.flat().map(([, value]) => value)))}`}
      >
        {bounds.map((bound) => (
          <line key={bound} x1="0" x2={WIDTH} y1={y(bound)} y2={y(bound)} />
        ))}
        {lines.map((line) => (
          <polyline
            key={line[0]?.[0]}
            points={line.map(([at, value]) => `${at * WIDTH},${y(value)}`).join(" ")}
          />
        ))}
      </svg>
      <figcaption>
        value {newest === null ? "–" : alertValue(String(newest))}
        {levels
          .filter(({ threshold }) => threshold !== "")
          .map(({ severity, threshold }) => `, ${severity || "fires"} ${threshold}`)
          .join("")}
      </figcaption>
    </figure>
  );
}
