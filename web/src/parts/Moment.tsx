import { around, dateAndClock } from "../format/time";

/** A time as seen from `now`; the exact one for a pointer and for machines. */
export function Moment({ at, now }: { at: string; now: string | number }) {
  return (
    <time dateTime={at} title={dateAndClock(at)}>
      {around(at, now)}
    </time>
  );
}
