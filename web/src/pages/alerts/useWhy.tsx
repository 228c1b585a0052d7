import { useState } from "react";
import { Choice } from "../../parts/Choice";
import { Field } from "../../parts/Field";

const DURATIONS = [
  ["30m", "30 minutes"],
  ["2h", "2 hours"],
  ["8h", "8 hours"],
  ["1d", "1 day"],
  ["3d", "3 days"],
  ["1w", "1 week"],
] as const;

/** Why an alert is kept quiet and for how long, as the API takes it. */
export function useWhy() {
  const [comment, setComment] = useState("");
  const [duration, setDuration] = useState("2h");
  const fields = (
    <>
      <Field label="Why" value={comment} onChange={setComment} required maxLength={10_000} />
      <Choice label="For how long" value={duration} options={DURATIONS} onChange={setDuration} />
    </>
  );
  return { fields, said: { comment: comment.trim(), duration } };
}
