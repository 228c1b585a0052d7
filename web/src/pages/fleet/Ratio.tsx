import { ABSENT } from "../../format/number";

const HIGH = 0.8;
const FULL = 0.95;

/** A part of one as its text over a bar; from 80 % the text is bold too, so that colour says nothing alone. */
export function Ratio({ value, text }: { value: number | null; text: string }) {
  if (value === null) return <span className="absent">{ABSENT}</span>;
  const level = value >= FULL ? "full" : value >= HIGH ? "high" : "low";
  return (
    <span className={`ratio ratio-${level}`}>
      {text}
      <span className="bar" aria-hidden="true">
        <span style={{ transform: `scaleX(${Math.min(1, Math.max(0, value))})` }} />
      </span>
    </span>
  );
}
