import { bytes, bytesPerSecond, percent, plain } from "../../format/number";
import type { Unit } from "./charts";

export const FORMATS: Record<Unit, (value: number | null) => string> = {
  ratio: percent,
  bytes,
  bytesPerSecond,
  plain,
};

const COLOURS = 4;
// Lines differ in dashes as well as in colour: solid and dashed first, as most charts have two.
const DASHES: readonly (readonly number[])[] = [[], [6, 3], [2, 2], [9, 3, 2, 3]];

/** The custom property with the colour of a chart's line, see theme.css. */
export function strokeName(index: number): string {
  return `--line-${(index % COLOURS) + 1}`;
}

/** Canvas and SVG dash pattern of a chart's line. */
export function dashOf(index: number): number[] {
  const turn = index + Math.floor(index / COLOURS);
  return [...(DASHES[turn % DASHES.length] ?? [])];
}
