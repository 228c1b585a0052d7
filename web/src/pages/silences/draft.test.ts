import { expect, test } from "vitest";
import type { Silence } from "../../api/client";
import { parseMatchers } from "../../parts/silence";
import { draftOf, isoTime, newDraft } from "./draft";

test("a silence becomes a form and comes back as it was", () => {
  const silence: Silence = {
    id: "1",
    kind: "maintenance",
    state: "pending",
    matchers: [{ name: "host", value: 'r"4.*', isRegex: true, isEqual: false }],
    startsAt: "2026-11-23T21:00:00.000Z",
    endsAt: "2026-11-23T23:30:00.000Z",
    createdBy: "ada",
    comment: "why",
    updatedAt: "2026-11-23T20:00:00Z",
    alert: null,
  };
  const draft = draftOf(silence);
  expect(parseMatchers(draft.matchers)).toEqual(silence.matchers);
  expect(isoTime(draft.from)).toBe(silence.startsAt);
  expect(isoTime(draft.until)).toBe(silence.endsAt);
  expect(draft.comment).toBe("why");
});

test("a new one begins now and lasts two hours", () => {
  const { from, until } = newDraft(Date.parse("2026-11-23T21:00:30Z"));
  expect(isoTime(from)).toBeNull();
  expect(isoTime(until)).toBe("2026-11-23T23:00:00.000Z");
});
