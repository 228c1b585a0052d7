import { clock, dateAndClock } from "../../format/time";
import type { Unit } from "./charts";
import { extent, type Plot } from "./lines";
import { dashOf, FORMATS, strokeName } from "./strokes";

interface Props {
  unit: Unit;
  plot: Plot;
  cursor: number | null;
}

const LONG_MS = 20 * 3_600_000;

/** Every line with its stroke, its value at the cursor or else its newest, and its extremes. */
export function Legend({ unit, plot, cursor }: Props) {
  const show = FORMATS[unit];
  const at = cursor === null ? undefined : plot.starts[cursor];
  const long = (plot.starts.at(-1) ?? 0) - (plot.starts[0] ?? 0) > LONG_MS;
  return (
    <>
      <table className="legend">
        <thead>
          <tr>
            <th scope="col">
              <span className="visually-hidden">Line</span>
            </th>
            <th scope="col">{at === undefined ? "newest" : long ? dateAndClock(at) : clock(at)}</th>
            <th scope="col">least</th>
            <th scope="col">greatest</th>
          </tr>
        </thead>
        <tbody>
          {plot.lines.map((line, index) => {
            const { last, min, max } = extent(line.values);
            const value = at === undefined ? last : (line.values[cursor ?? 0] ?? null);
            return (
              <tr key={line.name}>
                <th scope="row">
                  <Stroke index={index} />
                  {line.name}
                </th>
                <td>{show(value)}</td>
                <td>{show(min)}</td>
                <td>{show(max)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {plot.leftOut > 0 && <p className="left-out">{plot.leftOut} more with lower values are not drawn.</p>}
    </>
  );
}

function Stroke({ index }: { index: number }) {
  return (
    <svg className="stroke" viewBox="0 0 24 8" width="24" height="8" aria-hidden="true" focusable="false">
      <line
        x1="0"
        y1="4"
        x2="24"
        y2="4"
        stroke={`var(${strokeName(index)})`}
        strokeWidth="2"
        strokeDasharray={dashOf(index).join(" ")}
      />
    </svg>
  );
}
