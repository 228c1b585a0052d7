import { describe, expect, it } from "vitest";
import { alertValue, bytes, bytesPerSecond, count, counted, percent, plain } from "./number";

describe("percent", () => {
  it.each([
    [0, "0.0 %"],
    [0.042, "4.2 %"],
    [0.0994, "9.9 %"],
    [0.0996, "10 %"],
    [0.4234, "42 %"],
    [1, "100 %"],
    [-0.2, "-20 %"],
    [null, "–"],
  ])("shows %s as %s", (ratio, text) => expect(percent(ratio)).toBe(text));
});

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [150 * 1024, "150 KiB"],
    [3.5 * 1024 ** 3, "3.5 GiB"],
    [5000 * 1024 ** 5, "5000 PiB"],
    [-2048, "-2.0 KiB"],
    [null, "–"],
  ])("shows %s as %s", (value, text) => expect(bytes(value)).toBe(text));

  it("adds the time to a rate and not to an absent one", () => {
    expect(bytesPerSecond(2048)).toBe("2.0 KiB/s");
    expect(bytesPerSecond(null)).toBe("–");
  });
});

describe("plain", () => {
  it.each([
    [0, "0.00"],
    [0.381, "0.38"],
    [0.0004, "4e-4"],
    [12.34, "12.3"],
    [123.4, "123"],
    [null, "–"],
  ])("shows %s as %s", (value, text) => expect(plain(value)).toBe(text));
});

describe("alertValue", () => {
  it.each([
    ["0.9134267", "0.913"],
    ["12", "12"],
    ["NaN", "NaN"],
    ["+Inf", "+Inf"],
    ["", ""],
  ])("shows %s as %s", (text, shown) => expect(alertValue(text)).toBe(shown));
});

describe("counts", () => {
  it("groups thousands and agrees with its noun", () => {
    expect(count(12345)).toBe("12,345");
    expect(counted(1, "host")).toBe("1 host");
    expect(counted(0, "host")).toBe("0 hosts");
    expect(counted(1200, "host")).toBe("1,200 hosts");
  });
});
