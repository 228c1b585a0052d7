import { useState } from "react";
import { type Silence, type SilenceChange, serverNow } from "../../api/client";
import { useAlerts } from "../../api/queries";
import { useSaveSilence } from "../../api/silences";
import { counted } from "../../format/number";
import { localTime } from "../../format/time";
import { Dialog } from "../../parts/Dialog";
import { Field } from "../../parts/Field";
import { PersonForm } from "../../parts/PersonForm";
import { covers, parseMatchers } from "../../parts/silence";
import { type Draft, draftOf, isoTime, newDraft } from "./draft";

type Planned = { kind: "silence" | "maintenance" } | { edited: Silence };

/** Plan a maintenance window or a silence, or change one that is not over: what, from when, until when, why and who. */
export function PlanDialog({ planned, onClose }: { planned: Planned; onClose: () => void }) {
  const save = useSaveSilence();
  const edited = "edited" in planned ? planned.edited : null;
  const [draft, setDraft] = useState<Draft>(() =>
    edited === null ? newDraft(serverNow()) : draftOf(edited),
  );
  const kind = "kind" in planned ? planned.kind : planned.edited.kind;
  const alert = edited?.alert ?? null;
  const matchers = parseMatchers(draft.matchers);
  const set = (field: keyof Draft) => (value: string) => setDraft({ ...draft, [field]: value });
  const running = edited?.state === "active";

  const send = (createdBy: string) => {
    const change: SilenceChange = {
      kind,
      alert,
      matchers: alert !== null || typeof matchers === "string" ? [] : matchers,
      startsAt: isoTime(draft.from),
      endsAt: isoTime(draft.until),
      createdBy,
      comment: draft.comment.trim(),
    };
    save.mutate(edited === null ? { change } : { id: edited.id, change }, { onSuccess: onClose });
  };
  return (
    <Dialog title={titleOf(kind, edited !== null)} onClose={onClose}>
      <PersonForm
        submit={edited === null ? (kind === "maintenance" ? "Plan it" : "Silence") : "Save"}
        blocked={alert === null && (typeof matchers === "string" || matchers.length === 0)}
        mutation={save}
        onClose={onClose}
        onSubmit={send}
      >
        {alert === null && (
          <>
            <label>
              All alerts with
              <textarea
                value={draft.matchers}
                onChange={(event) => set("matchers")(event.target.value)}
                rows={3}
                required
                spellCheck={false}
                placeholder={'host=~"rack4-.*"'}
                aria-describedby="kept-quiet"
              />
            </label>
            <Kept matchers={draft.matchers === "" ? "" : matchers} />
          </>
        )}
        <Field
          label={running ? "From" : "From (empty: now)"}
          type="datetime-local"
          value={draft.from}
          onChange={set("from")}
          disabled={running}
        />
        <Field
          label="Until"
          type="datetime-local"
          value={draft.until}
          min={localTime(new Date().toISOString()).slice(0, 16)}
          onChange={set("until")}
          required
        />
        <p className="hint">
          Times of {Intl.DateTimeFormat().resolvedOptions().timeZone}, as this browser has it.
        </p>
        <Field label="Why" value={draft.comment} onChange={set("comment")} required maxLength={10_000} />
      </PersonForm>
    </Dialog>
  );
}

function titleOf(kind: Silence["kind"], edited: boolean): string {
  if (edited) return `Change the ${kind}`;
  return kind === "maintenance" ? "Plan maintenance" : "New silence";
}

/** What the matchers would keep quiet of what fires now, or what is wrong with them. */
function Kept({ matchers }: { matchers: ReturnType<typeof parseMatchers> }) {
  const firing = useAlerts(null).data?.alerts;
  const wrong = typeof matchers === "string";
  return (
    <p id="kept-quiet" className={wrong && matchers !== "" ? "hint wrong" : "hint"} aria-live="polite">
      {wrong
        ? matchers || 'One a line: name="value", also !=, =~ and !~. All of them must hold.'
        : firing !== undefined &&
          `Of ${counted(firing.length, "alert")} firing now, ${firing.filter(({ data }) => covers(matchers, data)).length} would be quiet.`}
    </p>
  );
}
