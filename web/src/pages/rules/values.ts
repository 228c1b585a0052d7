import type { ExplainedLevel, ExplainedSeries } from "../../api/client";

/** The stretches with numbers as [share of the time, value]; a point alone is drawn as a short line. */
export function segments(
  points: ExplainedSeries["points"],
  from: number,
  whole: number,
): [number, number][][] {
  const found: [number, number][][] = [];
  let open: [number, number][] | null = null;
  for (const { time, value } of points) {
    if (value === null) {
      open = null;
      continue;
    }
    if (open === null) {
      open = [];
      found.push(open);
    }
    open.push([(Date.parse(time) - from) / whole, value]);
  }
  return found.map((line) => {
    const [first] = line;
    return line.length === 1 && first !== undefined ? [first, [first[0] + 0.002, first[1]]] : line;
  });
}

/** The numbers of thresholds such as "> 0.8", each once. */
export function limits(levels: readonly ExplainedLevel[]): number[] {
  const numbers = levels.flatMap(({ threshold }) => {
    const found = /^[<>=!]+\s*([-+]?[\d.].*)$/.exec(threshold);
    return found === null ? [] : [Number(found[1])];
  });
  return [...new Set(numbers.filter(Number.isFinite))];
}
