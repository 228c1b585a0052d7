import type { SampledSeries, Samples } from "../../api/client";

/** One line of a chart: null is a gap, undefined a step without a sample that the line passes over. */
export interface Line {
  name: string;
  values: (number | null | undefined)[];
}

/** Lines over the steps of one window; `starts` are the steps' starts in Unix milliseconds. */
export interface Plot {
  starts: number[];
  lines: Line[];
  /** Lines that were left out, for there were too many to tell apart. */
  leftOut: number;
}

/** Steps of which a line without a sample is drawn on: half as many again as usually lie between two samples. */
const JOINED = 1.5;

/** The starts of the steps of a window. */
export function stepStarts(start: number, end: number, step: number): number[] {
  return Array.from(
    { length: Math.max(0, Math.round((end - start) / step)) },
    (_, index) => start + index * step,
  );
}

/** The values of a series at the given steps; what is no finite number becomes null. */
export function valuesAt(starts: readonly number[], points: SampledSeries["points"]): (number | null)[] {
  const found = new Map(points.map(([at, value]) => [at, typeof value === "number" ? value : null]));
  return starts.map((start) => found.get(start) ?? null);
}

/**
 * Joins what lies as far apart as samples of this series do: an agent that ticks every 30 s leaves holes at a step
 * of 10 s, which are no gaps. The usual distance is the median.
 */
export function joinHoles(values: readonly (number | null)[]): (number | null | undefined)[] {
  const present = values.flatMap((value, index) => (value === null ? [] : [index]));
  const distances = present.slice(1).map((index, order) => index - (present[order] ?? index));
  const usual = distances.toSorted((a, b) => a - b)[Math.floor(distances.length / 2)] ?? 1;
  const joined: (number | null | undefined)[] = [...values];
  distances.forEach((distance, order) => {
    if (distance > usual * JOINED) return;
    const from = present[order] ?? 0;
    for (let index = from + 1; index < from + distance; index += 1) joined[index] = undefined;
  });
  return joined;
}

/** A value of each step from the values of several series; null wherever one is missing. */
export function combine(
  series: readonly (readonly (number | null)[])[],
  of: (...values: number[]) => number,
): (number | null)[] {
  return (series[0] ?? []).map((_, index) => {
    const values = series.map((one) => one[index] ?? null);
    return values.every((value) => value !== null) ? finite(of(...values)) : null;
  });
}

/** The series of two answers paired by the labels that tell them apart, metric name aside. */
export function pairs(first: Samples, second: Samples): [SampledSeries, SampledSeries][] {
  const others = new Map(second.series.map((series) => [identity(series), series]));
  return first.series.flatMap((series) => {
    const other = others.get(identity(series));
    return other === undefined ? [] : [[series, other] as [SampledSeries, SampledSeries]];
  });
}

/** The lines with the highest values, in their own order, and how many others there were. */
export function highest(lines: Line[], most: number): { lines: Line[]; leftOut: number } {
  const peak = (line: Line) => line.values.reduce<number>((top, value) => Math.max(top, value ?? 0), 0);
  const kept = new Set(lines.toSorted((a, b) => peak(b) - peak(a)).slice(0, most));
  return { lines: lines.filter((line) => kept.has(line)), leftOut: lines.length - kept.size };
}

export interface Extent {
  last: number | null;
  min: number | null;
  max: number | null;
}

/** The newest, least and greatest value of a line. */
export function extent(values: Line["values"]): Extent {
  const present = values.filter((value) => typeof value === "number");
  if (present.length === 0) return { last: null, min: null, max: null };
  return {
    last: present.at(-1) ?? null,
    min: present.reduce((a, b) => Math.min(a, b)),
    max: present.reduce((a, b) => Math.max(a, b)),
  };
}

function identity({ labels }: SampledSeries): string {
  return JSON.stringify(
    Object.entries(labels)
      .filter(([name]) => name !== "__name__")
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
