import { useState } from "react";
import type { AlertEvent } from "../../api/client";
import { useSaveSilence } from "../../api/silences";
import { alertName } from "../../parts/alert";
import { Dialog } from "../../parts/Dialog";
import { PersonForm } from "../../parts/PersonForm";
import { choices, matcherText } from "../../parts/silence";
import { useWhy } from "./useWhy";

/** Keep quiet whatever has the chosen labels of this alert. */
export function SilenceDialog({ event, onClose }: { event: AlertEvent; onClose: () => void }) {
  const save = useSaveSilence();
  const { fields, said } = useWhy();
  const [offered, setOffered] = useState(() => choices(event));
  const matchers = offered.filter(({ chosen }) => chosen).map(({ matcher }) => matcher);

  const toggle = (name: string) =>
    setOffered(offered.map((one) => (one.matcher.name === name ? { ...one, chosen: !one.chosen } : one)));
  return (
    <Dialog title={`Silence ${alertName(event)} on ${event.data.host}`} onClose={onClose}>
      <PersonForm
        submit="Silence"
        blocked={matchers.length === 0}
        mutation={save}
        onClose={onClose}
        onSubmit={(createdBy) =>
          save.mutate({ change: { kind: "silence", matchers, createdBy, ...said } }, { onSuccess: onClose })
        }
      >
        <fieldset>
          <legend>All alerts with</legend>
          {offered.map(({ matcher, chosen }) => (
            <label key={matcher.name}>
              <input type="checkbox" checked={chosen} onChange={() => toggle(matcher.name)} />
              <code>{matcherText(matcher)}</code>
            </label>
          ))}
        </fieldset>
        {matchers.length === 0 && (
          <p className="hint">Choose at least one label: else everything is silenced.</p>
        )}
        {fields}
      </PersonForm>
    </Dialog>
  );
}
