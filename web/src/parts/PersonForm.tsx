import { type FormEvent, type ReactNode, useState } from "react";
import { Field } from "./Field";
import { myName, rememberMyName } from "./myName";
import "./form.css";

interface Props {
  submit: string;
  blocked?: boolean;
  mutation: { isPending: boolean; error: Error | null };
  onSubmit: (by: string) => void;
  onClose?: () => void;
  children?: ReactNode;
}

/** A form for what somebody does: its own fields, then who it is. The name is remembered in this browser. */
export function PersonForm({ submit, blocked = false, mutation, onSubmit, onClose, children }: Props) {
  const [by, setBy] = useState(myName);

  const send = (event: FormEvent) => {
    event.preventDefault();
    rememberMyName(by.trim());
    onSubmit(by.trim());
  };
  return (
    <form className="form" onSubmit={send}>
      {children}
      <Field label="Your name" value={by} onChange={setBy} required maxLength={200} />
      {mutation.error !== null && (
        <p className="notice failure" role="alert">
          {mutation.error.message}
        </p>
      )}
      <div className="buttons">
        {onClose !== undefined && (
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        )}
        <button type="submit" className="primary" disabled={mutation.isPending || blocked}>
          {mutation.isPending ? "Sending…" : submit}
        </button>
      </div>
    </form>
  );
}
