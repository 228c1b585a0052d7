import type { UseMutationResult } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { myName, rememberMyName } from "./myName";

/** For how long, as the API takes it, and in words. */
const DURATIONS: readonly [string, string][] = [
  ["30m", "30 minutes"],
  ["2h", "2 hours"],
  ["8h", "8 hours"],
  ["1d", "1 day"],
  ["3d", "3 days"],
  ["1w", "1 week"],
];

export interface Said {
  by: string;
  comment: string;
  duration: string;
}

interface Props {
  submit: string;
  /** Whether only the name is asked for, as to end something. */
  nameOnly?: boolean;
  blocked?: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: whatever is made of it
  mutation: UseMutationResult<any, Error, any>;
  onSubmit: (said: Said) => void;
  onClose: () => void;
  children?: ReactNode;
}

/** Who says it, why, and for how long. The name is remembered in this browser. */
export function SilenceForm(props: Props) {
  const { submit, nameOnly = false, blocked = false, mutation, onSubmit, onClose, children } = props;
  const [by, setBy] = useState(myName);
  const [comment, setComment] = useState("");
  const [duration, setDuration] = useState("2h");

  const send = (event: FormEvent) => {
    event.preventDefault();
    rememberMyName(by.trim());
    onSubmit({ by: by.trim(), comment: comment.trim(), duration });
  };
  return (
    <form className="form" onSubmit={send}>
      {children}
      <label>
        Your name
        <input value={by} onChange={(event) => setBy(event.target.value)} required maxLength={200} />
      </label>
      {!nameOnly && (
        <>
          <label>
            Why
            <input
              value={comment}
              onChange={(event) => setComment(event.target.value)}
              required
              maxLength={10_000}
            />
          </label>
          <label>
            For
            <select
              aria-label="For how long"
              value={duration}
              onChange={(event) => setDuration(event.target.value)}
            >
              {DURATIONS.map(([value, words]) => (
                <option key={value} value={value}>
                  {words}
                </option>
              ))}
            </select>
          </label>
        </>
      )}
      {mutation.isError && (
        <p className="notice failure" role="alert">
          {mutation.error.message}
        </p>
      )}
      <div className="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" className="primary" disabled={mutation.isPending || blocked}>
          {mutation.isPending ? "Sending…" : submit}
        </button>
      </div>
    </form>
  );
}
