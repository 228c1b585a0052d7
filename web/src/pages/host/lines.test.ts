import { describe, expect, it } from "vitest";
import type { SampledSeries, Samples } from "../../api/client";
import { CHARTS, plot } from "./charts";
import { combine, extent, highest, joinHoles, pairs, stepStarts, valuesAt } from "./lines";
import { parseRange, RANGES, windowOf } from "./ranges";

function answer(metric: string, series: [Record<string, string>, SampledSeries["points"]][]): Samples {
  return {
    metric,
    aggregate: "avg",
    tier: "raw",
    step_ms: 10,
    start_ms: 0,
    end_ms: 40,
    series: series.map(([labels, points]) => ({ labels: { __name__: metric, ...labels }, points })),
  };
}

describe("valuesAt", () => {
  it("puts points at their steps, whatever is missing", () => {
    expect(
      valuesAt(
        [0, 10, 20],
        [
          [10, 5],
          [30, 7],
        ],
      ),
    ).toEqual([null, 5, null]);
  });

  it("makes a gap of what is no finite number", () => {
    expect(
      valuesAt(
        [0, 10, 20, 30],
        [
          [0, "NaN"],
          [10, "+Inf"],
          [20, null],
          [30, 0],
        ],
      ),
    ).toEqual([null, null, null, 0]);
  });
});

describe("joinHoles", () => {
  const hole = undefined;

  it("joins the holes of a slow agent and leaves a real gap", () => {
    const slow = [1, null, null, 2, null, null, 3, null, null, null, null, null, 4, null, null, 5];
    expect(joinHoles(slow)).toEqual([
      1,
      hole,
      hole,
      2,
      hole,
      hole,
      3,
      null,
      null,
      null,
      null,
      null,
      4,
      hole,
      hole,
      5,
    ]);
  });

  it("leaves a missed sample of a dense series as a gap", () => {
    expect(joinHoles([1, 2, null, 4, 5])).toEqual([1, 2, null, 4, 5]);
  });

  it("leaves the ends and series of one or no sample alone", () => {
    expect(joinHoles([null, 1, null])).toEqual([null, 1, null]);
    expect(joinHoles([null, null])).toEqual([null, null]);
  });
});

describe("combine", () => {
  it("needs every value and a finite result", () => {
    const sizes = [100, null, 0, 50];
    const free = [40, 10, 0, null];
    expect(combine([sizes, free], (size = 0, rest = 0) => 1 - rest / size)).toEqual([0.6, null, null, null]);
  });
});

describe("pairs", () => {
  it("pairs by labels whatever their order and drops what has no partner", () => {
    const size = answer("size", [
      [{ device: "sda", mountpoint: "/" }, []],
      [{ device: "sdb", mountpoint: "/data" }, []],
    ]);
    const free = answer("avail", [[{ mountpoint: "/", device: "sda" }, []]]);
    expect(pairs(size, free).map(([first]) => first.labels["mountpoint"])).toEqual(["/"]);
  });
});

describe("highest", () => {
  it("keeps the highest lines in their order and counts the others", () => {
    const lines = [1, 9, 3, 7].map((value) => ({ name: `l${value}`, values: [value, null] }));
    const kept = highest(lines, 2);
    expect(kept.lines.map((line) => line.name)).toEqual(["l9", "l7"]);
    expect(kept.leftOut).toBe(2);
  });
});

describe("extent", () => {
  it("takes the newest value that there is", () => {
    expect(extent([3, undefined, 1, null])).toEqual({ last: 1, min: 1, max: 3 });
    expect(extent([null, undefined])).toEqual({ last: null, min: null, max: null });
  });
});

describe("ranges", () => {
  it("have whole steps, at most 400 of them", () => {
    for (const range of RANGES) {
      const { start, end } = windowOf(range, 1_795_430_463_123);
      const starts = stepStarts(start, end, range.stepMs);
      expect(starts.length).toBe(range.lengthMs / range.stepMs);
      expect(starts.length).toBeLessThanOrEqual(400);
      expect(starts[0]).toBe(start);
      expect(start % range.stepMs).toBe(0);
    }
  });

  it("end after now, within a step", () => {
    for (const now of [60_000, 60_001, 119_999]) {
      const { end } = windowOf(parseRange("1h"), now);
      expect(end).toBeGreaterThan(now);
      expect(end - now).toBeLessThanOrEqual(parseRange("1h").stepMs);
    }
  });

  it("fall back to an hour", () => {
    for (const text of [null, "", "3y"]) expect(parseRange(text).id).toBe("1h");
  });
});

describe("charts", () => {
  const starts = [0, 10];
  const of = (id: string) => CHARTS.find((chart) => chart.id === id) ?? expect.fail(`no chart ${id}`);

  it("show memory in use beside all of it", () => {
    const total = answer("total", [
      [
        {},
        [
          [0, 8],
          [10, 8],
        ],
      ],
    ]);
    const free = answer("free", [
      [
        {},
        [
          [0, 6],
          [10, null],
        ],
      ],
    ]);
    expect(plot(of("memory"), [total, free], starts).lines).toEqual([
      { name: "in use", values: [2, null] },
      { name: "total", values: [8, 8] },
    ]);
  });

  it("show a CPU peak only where a step has more than one sample", () => {
    const average = answer("cpu", [
      [
        {},
        [
          [0, 0.2],
          [10, 0.4],
        ],
      ],
    ]);
    const peak = answer("cpu", [
      [
        {},
        [
          [0, 0.2],
          [10, 0.9],
        ],
      ],
    ]);
    const names = (answers: Samples[]) => plot(of("cpu"), answers, starts).lines.map((line) => line.name);
    expect(names([average, peak])).toEqual(["in use", "peak"]);
    expect(names([average, average])).toEqual(["in use"]);
  });

  it("have no line for a series without samples", () => {
    const empty = answer("node_load1", [
      [
        {},
        [
          [0, null],
          [10, "NaN"],
        ],
      ],
    ]);
    expect(plot(of("load"), [empty, empty, empty], starts).lines).toEqual([]);
  });
});
