import { useState } from "react";
import type { AlertEvent } from "../../api/client";
import { explainHref } from "../../app/location";
import { alertName } from "../../parts/alert";
import { AcknowledgeDialog } from "./AcknowledgeDialog";
import { SilenceDialog } from "./SilenceDialog";

interface Props {
  event: AlertEvent;
  acknowledged: boolean;
}

/** What can be done about an alert that fires. */
export function AlertActions({ event, acknowledged }: Props) {
  const [open, setOpen] = useState<"acknowledge" | "silence" | null>(null);
  const close = () => setOpen(null);
  const which = (
    <span className="visually-hidden">
      {" "}
      {alertName(event)} on {event.data.host}
    </span>
  );
  return (
    <div className="row-actions">
      {!acknowledged && (
        <button type="button" onClick={() => setOpen("acknowledge")}>
          Acknowledge{which}
        </button>
      )}
      <button type="button" onClick={() => setOpen("silence")}>
        Silence{which}
      </button>
      <a href={explainHref(event.data.rule.name, event.data.host)}>Explain{which}</a>
      {open === "acknowledge" && <AcknowledgeDialog event={event} onClose={close} />}
      {open === "silence" && <SilenceDialog event={event} onClose={close} />}
    </div>
  );
}
