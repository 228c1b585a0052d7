import { expect, test } from "vitest";
import { limits, segments } from "./values";

const point = (time: string, value: number | null) =>
  ({ time, value, state: "inactive", severity: "" }) as const;

test("a gap ends a line, a point alone is drawn", () => {
  const from = Date.parse("2026-11-23T21:00:00Z");
  const points = [
    point("2026-11-23T21:00:00Z", 1),
    point("2026-11-23T21:00:15Z", 2),
    point("2026-11-23T21:00:30Z", null),
    point("2026-11-23T21:00:45Z", 3),
  ];
  expect(segments(points, from, 60_000)).toEqual([
    [
      [0, 1],
      [0.25, 2],
    ],
    [
      [0.75, 3],
      [0.752, 3],
    ],
  ]);
});

test("limits are numbers, each once", () => {
  const level = (threshold: string) => ({ severity: "", threshold, recovery: "" });
  expect(limits([level("> 0.8"), level(">= 0.8"), level("< -1e3"), level(""), level("!= NaN")])).toEqual([
    0.8, -1000,
  ]);
});
