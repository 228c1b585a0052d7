import type uPlot from "uplot";
import { axisTime } from "../../format/time";
import type { Chart, Unit } from "./charts";
import type { Line } from "./lines";
import { dashOf, FORMATS, strokeName } from "./strokes";

const KIBI_STEPS = Array.from({ length: 51 }, (_, power) => 2 ** power);
const AXIS_WIDTH: Record<Unit, number> = { ratio: 52, bytes: 66, bytesPerSecond: 78, plain: 46 };

/** What uPlot needs to draw a chart in the colours that the style sheet has now. */
export function plotOptions(
  chart: Chart,
  lines: readonly Line[],
  width: number,
  height: number,
  onCursor: (index: number | null) => void,
): uPlot.Options {
  const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: "host", setSeries: false },
      drag: { x: false, y: false, setScale: false },
      points: { size: 7 },
    },
    scales: {
      x: { time: true },
      y: { range: (_, __, max) => [0, chart.top ?? upper(max)] },
    },
    axes: [
      {
        ...axis,
        font: FONT,
        size: 26,
        space: 64,
        values: (_, splits, __, ___, step) => splits.map((at) => axisTime(at, step)),
      },
      {
        ...axis,
        font: FONT,
        size: AXIS_WIDTH[chart.unit],
        values: (_, splits) => splits.map((value) => axisText(value, chart.unit)),
        ...(chart.unit === "bytes" || chart.unit === "bytesPerSecond" ? { incrs: KIBI_STEPS } : {}),
      },
    ],
    series: [{}, ...lines.map((line, index) => stroke(line.name, index, colour, chart.shaded === true))],
    hooks: { setCursor: [(shown) => onCursor(shown.cursor.idx ?? null)] },
  };
}

const FONT = "11px system-ui, sans-serif";

function stroke(
  label: string,
  index: number,
  colour: (name: string) => string,
  shaded: boolean,
): uPlot.Series {
  const area = index === 0 && shaded ? { fill: colour("--area") } : {};
  return { label, stroke: colour(strokeName(index)), width: 1.6, dash: dashOf(index), ...area };
}

/** Room above the highest value; a chart of zeros still has a scale. */
function upper(max: number | null): number {
  return max === null || max <= 0 ? 1 : max * 1.08;
}

/** An axis has no room for the decimals that a ratio has elsewhere. */
function axisText(value: number, unit: Unit): string {
  return unit === "ratio" ? `${Math.round(value * 100)} %` : FORMATS[unit](value);
}
