import type { AlertEvent } from "../../api/client";
import { useCreateSilence } from "../../api/silences";
import { alertName } from "../../parts/alert";
import { Dialog } from "../../parts/Dialog";
import { SilenceForm } from "../../parts/SilenceForm";

/** Say that somebody works on this alert. */
export function AcknowledgeDialog({ event, onClose }: { event: AlertEvent; onClose: () => void }) {
  const create = useCreateSilence();
  const { fingerprint, episode, labels, host } = event.data;
  return (
    <Dialog title={`Acknowledge ${alertName(event)} on ${host}`} onClose={onClose}>
      <SilenceForm
        submit="Acknowledge"
        mutation={create}
        onClose={onClose}
        onSubmit={({ by, comment, duration }) =>
          create.mutate(
            {
              kind: "acknowledgement",
              alert: { fingerprint, episode, severity: labels["severity"] ?? "" },
              matchers: [],
              createdBy: by,
              comment,
              duration,
            },
            { onSuccess: onClose },
          )
        }
      >
        <p className="hint">
          Nobody is told of it again until the time is over, its severity changes, or it fires anew after an
          end.
        </p>
      </SilenceForm>
    </Dialog>
  );
}
