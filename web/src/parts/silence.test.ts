import { describe, expect, test } from "vitest";
import type { AlertEvent, Silence } from "../api/client";
import { choices, matcherText, parseMatchers, quietedBy } from "./silence";

const event = {
  data: {
    host: "web-1",
    fingerprint: "f",
    episode: "e",
    labels: { alertname: "Hot", instance: "web-1:9100", job: "node", severity: "critical" },
  },
} as unknown as AlertEvent;

function silence(changes: Partial<Silence>): Silence {
  return {
    id: "1",
    kind: "silence",
    state: "active",
    matchers: [],
    startsAt: "2026-11-23T21:00:00Z",
    endsAt: "2026-11-23T23:00:00Z",
    createdBy: "ada",
    comment: "why",
    updatedAt: "2026-11-23T21:00:00Z",
    alert: null,
    ...changes,
  };
}

const matcher = (name: string, value: string, isRegex = false, isEqual = true) => ({
  name,
  value,
  isRegex,
  isEqual,
});

describe("what keeps an alert quiet", () => {
  test.each([
    [[matcher("alertname", "Hot")], true],
    [[matcher("alertname", "Hot"), matcher("instance", "web-2")], false],
    [[matcher("instance", "web-.*", true)], true],
    [[matcher("instance", "web", true)], false],
    [[matcher("severity", "warning", false, false)], true],
    [[matcher("host", "web-1")], true],
    [[matcher("absent", "")], true],
    [[matcher("instance", "(", true)], false],
    [[], false],
  ])("matchers %j: %s", (matchers, quiet) => {
    expect(quietedBy(event, [silence({ matchers })]).length === 1).toBe(quiet);
  });

  test("an acknowledgement is of one episode at one severity", () => {
    const of = (episode: string, severity: string) =>
      silence({ kind: "acknowledgement", alert: { fingerprint: "f", episode, severity } });
    const all = [of("e", "critical"), of("e", "warning"), of("another", "critical")];
    expect(quietedBy(event, all)).toEqual([all[0]]);
  });

  test("what is planned or over keeps nothing quiet", () => {
    const matchers = [matcher("alertname", "Hot")];
    expect(
      quietedBy(event, [silence({ state: "pending", matchers }), silence({ state: "expired", matchers })]),
    ).toEqual([]);
  });
});

test("matchers as text", () => {
  expect(matcherText(matcher("a", 'x"y'))).toBe('a="x\\"y"');
  expect(matcherText(matcher("a", "x", true, false))).toBe('a!~"x"');
  expect(matcherText(matcher("a", "x", false, false))).toBe('a!="x"');
  expect(matcherText(matcher("a", "x", true))).toBe('a=~"x"');
});

test("a silence is cut by name and instance at first", () => {
  expect(choices(event).map(({ matcher: { name }, chosen }) => [name, chosen])).toEqual([
    ["alertname", true],
    ["instance", true],
    ["severity", false],
  ]);
});

describe("matchers as people write them", () => {
  test.each([
    ['alertname="Hot"', [matcher("alertname", "Hot")]],
    ["alertname=Hot, host=~r4-.*", [matcher("alertname", "Hot"), matcher("host", "r4-.*", true)]],
    ['a!="x"\nb !~ "y,z"\n', [matcher("a", "x", false, false), matcher("b", "y,z", true, false)]],
    ['{a="x\\"y", b="c\\\\d"}', [matcher("a", 'x"y'), matcher("b", "c\\d")]],
    ['a=""', [matcher("a", "")]],
    ["", []],
  ])("%j", (text, found) => {
    expect(parseMatchers(text)).toEqual(found);
  });

  test.each(["web-1", '9a="x"', 'a="x" b="y"', 'a="x', 'a=x"y'])("%j is none", (text) => {
    expect(parseMatchers(text)).toMatch(/is not a matcher/);
  });

  test("what a matcher is shown as is read back", () => {
    const all = [matcher("a", 'x"y\\'), matcher("b", "", false, false), matcher("c", "d|e", true)];
    expect(parseMatchers(all.map(matcherText).join("\n"))).toEqual(all);
  });
});
