const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface Range {
  id: string;
  title: string;
  lengthMs: number;
  stepMs: number;
  refreshMs: number;
}

/** Steps of whole minutes where the range is long, which the API answers from one-minute rollups. */
export const RANGES: readonly Range[] = [
  { id: "15m", title: "15 minutes", lengthMs: 15 * MINUTE, stepMs: 10_000, refreshMs: 10_000 },
  { id: "1h", title: "1 hour", lengthMs: HOUR, stepMs: 15_000, refreshMs: 10_000 },
  { id: "6h", title: "6 hours", lengthMs: 6 * HOUR, stepMs: 2 * MINUTE, refreshMs: 30_000 },
  { id: "24h", title: "24 hours", lengthMs: DAY, stepMs: 5 * MINUTE, refreshMs: MINUTE },
  { id: "7d", title: "7 days", lengthMs: 7 * DAY, stepMs: 30 * MINUTE, refreshMs: 5 * MINUTE },
  { id: "30d", title: "30 days", lengthMs: 30 * DAY, stepMs: 2 * HOUR, refreshMs: 10 * MINUTE },
];

export const DEFAULT_RANGE = "1h";

export function parseRange(text: string | null): Range {
  const found = RANGES.find(({ id }) => id === text) ?? RANGES.find(({ id }) => id === DEFAULT_RANGE);
  if (found === undefined) throw new Error(`no range ${DEFAULT_RANGE}`);
  return found;
}

/** The window of a range that ends with the step in which `now` falls: steps begin at multiples of the step. */
export function windowOf(range: Range, now: number): { start: number; end: number } {
  const end = (Math.floor(now / range.stepMs) + 1) * range.stepMs;
  return { start: end - range.lengthMs, end };
}
