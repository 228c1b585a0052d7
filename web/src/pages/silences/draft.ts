import type { Silence } from "../../api/client";
import { localTime } from "../../format/time";
import { matcherText } from "../../parts/silence";

/** A silence as a form has it: all text, times local to the browser. */
export interface Draft {
  matchers: string;
  from: string;
  until: string;
  comment: string;
}

const TWO_HOURS_MS = 2 * 3_600_000;

/** An empty one: from now, for two hours. */
export function newDraft(nowMs: number): Draft {
  return {
    matchers: "",
    from: "",
    until: localTime(new Date(nowMs + TWO_HOURS_MS).toISOString()).slice(0, 16),
    comment: "",
  };
}

/** One that is to be changed. */
export function draftOf({ matchers, startsAt, endsAt, comment }: Silence): Draft {
  return {
    matchers: matchers.map(matcherText).join("\n"),
    from: localTime(startsAt),
    until: localTime(endsAt),
    comment,
  };
}

/** A local time as the API takes it; null for none. */
export function isoTime(local: string): string | null {
  return local === "" ? null : new Date(local).toISOString();
}
