import type { AlertEvent, Silence, SilenceMatcher } from "../api/client";

/** What keeps an alert quiet now: acknowledgements of its episode at its severity, and what matches its labels. */
export function quietedBy(event: AlertEvent, silences: readonly Silence[]): Silence[] {
  return silences.filter((silence) => silence.state === "active" && applies(silence, event));
}

function applies({ alert, matchers }: Silence, { data }: AlertEvent): boolean {
  if (alert !== null) {
    return (
      alert.fingerprint === data.fingerprint &&
      alert.episode === data.episode &&
      (alert.severity ?? "") === (data.labels["severity"] ?? "")
    );
  }
  return covers(matchers, data);
}

/** Whether an alert has what all matchers ask for; without matchers none does. */
export function covers(matchers: readonly SilenceMatcher[], { host, labels }: AlertEvent["data"]): boolean {
  const all: Record<string, string> = { host, ...labels };
  return matchers.length > 0 && matchers.every((matcher) => matches(matcher, all[matcher.name] ?? ""));
}

function matches({ value, isRegex, isEqual }: SilenceMatcher, text: string): boolean {
  return (isRegex ? matchesWhole(value, text) : value === text) === isEqual;
}

function matchesWhole(expression: string, text: string): boolean {
  try {
    return new RegExp(`^(?:${expression})$`, "s").test(text);
  } catch {
    return false; // written for RE2 alone: the server decides, this page only shows
  }
}

/** `instance=~"web-.*"`. */
export function matcherText({ name, value, isRegex, isEqual }: SilenceMatcher): string {
  const operator = `${isEqual ? "=" : "!"}${isRegex ? "~" : isEqual ? "" : "="}`;
  return `${name}${operator}${JSON.stringify(value)}`;
}

const MATCHER = /\s*([a-zA-Z_:][\w:]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^",\n]*))\s*(?:[,\n]|$)/y;

/** Matchers as people write them, one a line or with commas between: `alertname=Hot, host=~"r4-.*"`; or a complaint. */
export function parseMatchers(text: string): SilenceMatcher[] | string {
  const inner = text
    .trim()
    .replace(/^\{(.*)\}$/s, "$1")
    .trim();
  const found: SilenceMatcher[] = [];
  MATCHER.lastIndex = 0;
  while (MATCHER.lastIndex < inner.length) {
    const rest = inner.slice(MATCHER.lastIndex);
    const match = MATCHER.exec(inner);
    if (match === null) return `“${rest.split("\n")[0]}” is not a matcher: write name="value", !=, =~ or !~`;
    const [, name = "", operator = "", quoted, bare = ""] = match;
    const value = quoted === undefined ? bare.trim() : unescaped(quoted);
    found.push({ name, value, isRegex: operator.includes("~"), isEqual: operator.startsWith("=") });
  }
  return found;
}

function unescaped(text: string): string {
  return text.replace(/\\(["n\\])/g, (_, character: string) => (character === "n" ? "\n" : character));
}

export const KINDS: Readonly<Record<Silence["kind"], string>> = {
  silence: "Silence",
  acknowledgement: "Acknowledgement",
  maintenance: "Maintenance",
};

/** The labels of an alert by which a silence may be cut, and whether it is by them at first. */
export function choices({ data }: AlertEvent): { matcher: SilenceMatcher; chosen: boolean }[] {
  const first = new Set(["alertname", "instance"]);
  const left = new Set(["job", "simulated"]);
  return Object.entries(data.labels)
    .filter(([name]) => !left.has(name))
    .map(([name, value]) => ({
      matcher: { name, value, isRegex: false, isEqual: true },
      chosen: first.has(name),
    }));
}
