import { useState } from "react";
import type { Silence } from "../../api/client";
import { useExpireSilence } from "../../api/silences";
import { duration } from "../../format/time";
import { Dialog } from "../../parts/Dialog";
import { Moment } from "../../parts/Moment";
import { PersonForm } from "../../parts/PersonForm";
import { KINDS, matcherText } from "../../parts/silence";
import { PlanDialog } from "./PlanDialog";

const STATES: Readonly<Record<Silence["state"], string>> = {
  pending: "begins",
  active: "ends",
  expired: "ended",
};

/** One silence: what it keeps quiet, who made it and why, until when, and how to change or end it. */
export function SilenceRow({ silence, now }: { silence: Silence; now: string }) {
  const [open, setOpen] = useState<"edit" | "end" | null>(null);
  const close = () => setOpen(null);
  const { kind, state, createdBy, comment, startsAt, endsAt } = silence;
  const which = (
    <span className="visually-hidden">
      {" "}
      the {KINDS[kind].toLowerCase()} by {createdBy}
    </span>
  );
  return (
    <li className={`silence silence-${state}`}>
      <div>
        <strong>{KINDS[kind]}</strong> of <What silence={silence} />
        <p>
          {comment} — <span className="who">{createdBy}</span>
        </p>
      </div>
      <p className="silence-when">
        {STATES[state]} <Moment at={state === "pending" ? startsAt : endsAt} now={now} />
        {state === "pending" && `, for ${duration(Date.parse(endsAt) - Date.parse(startsAt))}`}
      </p>
      {state !== "expired" && (
        <div className="row-actions">
          <button type="button" onClick={() => setOpen("edit")}>
            Change{which}
          </button>
          <button type="button" onClick={() => setOpen("end")}>
            End now{which}
          </button>
        </div>
      )}
      {open === "edit" && <PlanDialog planned={{ edited: silence }} onClose={close} />}
      {open === "end" && <EndDialog silence={silence} onClose={close} />}
    </li>
  );
}

function What({ silence: { alert, matchers } }: { silence: Silence }) {
  if (alert !== null) {
    return (
      <>
        one alert <code>{alert.fingerprint}</code>
        {alert.severity !== "" && ` while it is ${alert.severity}`}
      </>
    );
  }
  return matchers.map((matcher) => (
    <code key={matcherText(matcher)} className="matcher">
      {matcherText(matcher)}
    </code>
  ));
}

function EndDialog({ silence, onClose }: { silence: Silence; onClose: () => void }) {
  const expire = useExpireSilence();
  return (
    <Dialog title={`End the ${KINDS[silence.kind].toLowerCase()} now`} onClose={onClose}>
      <PersonForm
        submit="End it"
        mutation={expire}
        onClose={onClose}
        onSubmit={(by) => expire.mutate({ id: silence.id, by }, { onSuccess: onClose })}
      >
        <p className="hint">What still fires is notified again.</p>
      </PersonForm>
    </Dialog>
  );
}
