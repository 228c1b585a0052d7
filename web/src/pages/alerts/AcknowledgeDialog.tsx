import type { AlertEvent } from "../../api/client";
import { useSaveSilence } from "../../api/silences";
import { alertName } from "../../parts/alert";
import { Dialog } from "../../parts/Dialog";
import { PersonForm } from "../../parts/PersonForm";
import { useWhy } from "./useWhy";

/** Say that somebody works on this alert. */
export function AcknowledgeDialog({ event, onClose }: { event: AlertEvent; onClose: () => void }) {
  const save = useSaveSilence();
  const { fields, said } = useWhy();
  const { fingerprint, episode, labels, host } = event.data;
  const alert = { fingerprint, episode, severity: labels["severity"] ?? "" };
  return (
    <Dialog title={`Acknowledge ${alertName(event)} on ${host}`} onClose={onClose}>
      <PersonForm
        submit="Acknowledge"
        mutation={save}
        onClose={onClose}
        onSubmit={(createdBy) =>
          save.mutate(
            { change: { kind: "acknowledgement", alert, matchers: [], createdBy, ...said } },
            { onSuccess: onClose },
          )
        }
      >
        <p className="hint">
          Nobody is told of it again until the time is over, its severity changes, or it fires anew after an
          end.
        </p>
        {fields}
      </PersonForm>
    </Dialog>
  );
}
