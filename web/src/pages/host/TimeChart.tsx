import { useEffect, useRef, useState } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { onThemeChange } from "../../app/theme";
import type { Chart } from "./charts";
import type { Plot } from "./lines";
import { plotOptions } from "./plotOptions";

const HEIGHT = 180;

interface Props {
  chart: Chart;
  plot: Plot;
  stepMs: number;
  onCursor: (index: number | null) => void;
}

/** The drawing itself. It is made anew only when its lines or the colours change; new samples are put into it. */
export function TimeChart({ chart, plot, stepMs, onCursor }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const drawn = useRef<UPlot | null>(null);
  const newest = useRef(plot);
  const [colours, setColours] = useState(0);
  const names = JSON.stringify(plot.lines.map((line) => line.name));
  newest.current = plot;

  useEffect(() => onThemeChange(() => setColours((count) => count + 1)), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: names and colours are what the drawing is made of
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const { lines } = newest.current;
    const options = plotOptions(chart, lines, element.clientWidth, HEIGHT, onCursor);
    const made = new UPlot(options, columns(newest.current), element);
    drawn.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      drawn.current = null;
    };
  }, [chart, names, colours, onCursor]);

  useEffect(() => {
    drawn.current?.setData(columns(plot));
  }, [plot]);

  const move = (event: React.KeyboardEvent) => {
    const found = drawn.current === null ? null : moved(drawn.current, event.key);
    if (found === null) return;
    event.preventDefault();
    drawn.current?.setCursor({ left: drawn.current.valToPos(found, "x"), top: 0 });
  };
  const label = `${chart.title}, ${plot.lines.length} lines, a value every ${stepMs / 1000} seconds; arrow keys move the cursor`;

  return (
    <div
      className="time-chart"
      ref={frame}
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys read the canvas
      tabIndex={0}
      aria-label={label}
      onKeyDown={move}
    />
  );
}

/** uPlot's columns: seconds, then one column of values a line. */
function columns(plot: Plot): UPlot.AlignedData {
  return [plot.starts.map((start) => start / 1000), ...plot.lines.map((line) => line.values)];
}

/** Where an arrow key, Home or End moves the cursor, in seconds; null for another key. */
function moved(chart: UPlot, key: string): number | null {
  const times = chart.data[0];
  const last = times.length - 1;
  const now = chart.cursor.idx ?? last;
  const target = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[key];
  return target === undefined ? null : (times[Math.min(last, Math.max(0, target))] ?? null);
}
