import { useState } from "react";
import type { Silence } from "../../api/client";
import { useExpireSilence } from "../../api/silences";
import { Dialog } from "../../parts/Dialog";
import { Moment } from "../../parts/Moment";
import { SilenceForm } from "../../parts/SilenceForm";
import { KINDS, matcherText } from "../../parts/silence";

const STATES: Readonly<Record<Silence["state"], string>> = {
  pending: "begins",
  active: "ends",
  expired: "ended",
};

/** One silence: what it keeps quiet, who made it and why, until when, and how to end it. */
export function SilenceRow({ silence, now }: { silence: Silence; now: string }) {
  const [ending, setEnding] = useState(false);
  const { kind, state, createdBy, comment } = silence;
  return (
    <li className={`silence silence-${state}`}>
      <div>
        <strong>{KINDS[kind]}</strong> of <What silence={silence} />
        <p>
          {comment} — <span className="who">{createdBy}</span>
        </p>
      </div>
      <p className="silence-when">
        {STATES[state]} <Moment at={state === "pending" ? silence.startsAt : silence.endsAt} now={now} />
      </p>
      {state !== "expired" && (
        <button type="button" onClick={() => setEnding(true)}>
          End now
          <span className="visually-hidden">
            {" "}
            the {KINDS[kind].toLowerCase()} by {createdBy}
          </span>
        </button>
      )}
      {ending && <EndDialog silence={silence} onClose={() => setEnding(false)} />}
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
      <SilenceForm
        submit="End it"
        nameOnly
        mutation={expire}
        onClose={onClose}
        onSubmit={({ by }) => expire.mutate({ id: silence.id, by }, { onSuccess: onClose })}
      >
        <p className="hint">What still fires is notified again.</p>
      </SilenceForm>
    </Dialog>
  );
}
