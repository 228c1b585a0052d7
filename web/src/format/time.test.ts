import { describe, expect, it } from "vitest";
import { ago, axisTime, duration, localTime } from "./time";

describe("duration", () => {
  it.each([
    [0, "0 s"],
    [-5000, "0 s"],
    [59_400, "59 s"],
    [59_600, "1 min"],
    [80_000, "1 min 20 s"],
    [660_000, "11 min"],
    [3_725_000, "1 h 2 min"],
    [86_400_000, "1 d"],
    [90_000_000, "1 d 1 h"],
    [20 * 86_400_000 + 7_200_000, "20 d"],
  ])("shows %s ms as %s", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("ago", () => {
  const now = "2026-11-23T10:41:23.512Z";

  it("counts from the server's time", () => {
    expect(ago("2026-11-23T10:41:20.000Z", now)).toBe("4 s ago");
    expect(ago("2026-11-23T10:30:00.000Z", Date.parse(now))).toBe("11 min ago");
  });

  it("does not speak of the future", () => {
    expect(ago("2026-11-23T10:41:23.000Z", now)).toBe("now");
    expect(ago("2026-11-23T10:45:00.000Z", now)).toBe("now");
  });

  it("says never for what is no time", () => expect(ago("", now)).toBe("never"));
});

describe("axisTime", () => {
  const at = (text: string) => new Date(text).getTime() / 1000;

  it("shows the local time, as short as the axis allows", () => {
    expect(axisTime(at("2026-11-23T14:05:00"), 300)).toBe("14:05");
    expect(axisTime(at("2026-11-23T14:05:30"), 30)).toBe("14:05:30");
  });

  it("shows the day where one begins and on an axis of days", () => {
    expect(axisTime(at("2026-11-23T00:00:00"), 3600)).toBe("23 Nov");
    expect(axisTime(at("2026-11-23T12:00:00"), 86_400)).toBe("23 Nov");
  });
});

it("gives a time to an input and takes it back", () => {
  expect(new Date(localTime("2026-11-23T10:41:23.512Z")).toISOString()).toBe("2026-11-23T10:41:23.000Z");
  expect(localTime("2026-11-23T10:41:23Z")).toMatch(/^2026-11-2\dT\d\d:\d\d:23$/);
  expect(localTime("")).toBe("");
});
