const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time in its two largest units: 3 725 000 ms → "1 h 2 min". */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms / SECOND)) * SECOND;
  if (whole < MINUTE) return `${whole / SECOND} s`;
  if (whole < HOUR) return pair(whole, MINUTE, "min", SECOND, "s", whole < 10 * MINUTE);
  if (whole < DAY) return pair(whole, HOUR, "h", MINUTE, "min", true);
  return pair(whole, DAY, "d", HOUR, "h", whole < 10 * DAY);
}

function pair(
  ms: number,
  large: number,
  largeName: string,
  small: number,
  smallName: string,
  both: boolean,
): string {
  const rest = Math.floor((ms % large) / small);
  const head = `${Math.floor(ms / large)} ${largeName}`;
  return both && rest > 0 ? `${head} ${rest} ${smallName}` : head;
}

/** How long before `now` an RFC 3339 time was: "4 s ago"; "now" within a second and for what lies ahead. */
export function ago(time: string, now: string | number): string {
  const passed = new Date(now).getTime() - Date.parse(time);
  if (Number.isNaN(passed)) return "never";
  return passed < SECOND ? "now" : `${duration(passed)} ago`;
}

/** How long before `now` or after it a time is: "4 s ago", "in 2 h". */
export function around(time: string, now: string | number): string {
  const left = Date.parse(time) - new Date(now).getTime();
  return left >= SECOND ? `in ${duration(left)}` : ago(time, now);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DATE_AND_CLOCK = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The local time of day, "14:03:27". */
export function clock(time: string | number): string {
  return CLOCK.format(new Date(time));
}

/** The local date and time, "23 Nov 2026, 14:03:27". */
export function dateAndClock(time: string | number): string {
  return DATE_AND_CLOCK.format(new Date(time));
}

const MINUTES = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const DAYS = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DAY_SECONDS = DAY / SECOND;

/** A label of a time axis whose labels are `step` seconds apart: "14:05", at midnight and on an axis of days "23 Nov". */
export function axisTime(seconds: number, step: number): string {
  const at = new Date(seconds * SECOND);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (step >= DAY_SECONDS || midnight) return DAYS.format(at);
  return step < 60 ? CLOCK.format(at) : MINUTES.format(at);
}

/** An RFC 3339 time as an input of kind datetime-local has it: local, without an offset; "" for what is no time. */
export function localTime(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * MINUTE).toISOString().slice(0, 19);
}
