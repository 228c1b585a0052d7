import type { ReactNode } from "react";
import type { AlertEvent } from "../api/client";
import { hostHref } from "../app/location";
import { alertValue } from "../format/number";
import { alertName, alertState, ownLabels } from "./alert";
import { Mark } from "./Mark";
import "./list.css";
import "./alerts.css";

interface Props {
  label: string;
  events: AlertEvent[];
  /** The last cell of a row: since when it fires, or what happened when. */
  when: (event: AlertEvent) => ReactNode;
  showHost?: boolean;
  /** Below what it says: who keeps it quiet, what can be done. */
  more?: (event: AlertEvent) => ReactNode;
}

/** Alert events, one a row. */
export function AlertList({ label, events, when, showHost = true, more }: Props) {
  return (
    <ul className="list" aria-label={label}>
      {events.map((event) => (
        <li key={event.id} className={`alert-row alert-${alertState(event)}`}>
          <Mark state={alertState(event)} />
          <div className="alert-what">
            <strong>{alertName(event)}</strong>
            {showHost && (
              <>
                {" on "}
                <a href={hostHref(event.data.host)}>{event.data.host}</a>
              </>
            )}
            {event.data.stale && <span className="tag">host silent, state held</span>}
            {event.data.flapping && (
              <span className="tag" title="It changes its state too often: only a higher severity is told">
                flapping
              </span>
            )}
            {event.data.late && <span className="tag">late data</span>}
            <Details event={event} />
            {more?.(event)}
          </div>
          <div className="alert-value">
            <Value event={event} />
          </div>
          <div className="alert-when">{when(event)}</div>
        </li>
      ))}
    </ul>
  );
}

function Details({ event }: { event: AlertEvent }) {
  const summary = event.data.annotations["summary"] ?? event.data.annotations["description"] ?? "";
  const labels = ownLabels(event);
  if (summary === "" && labels === "") return null;
  return (
    <p>
      {summary} {labels !== "" && <code>{labels}</code>}
    </p>
  );
}

function Value({ event }: { event: AlertEvent }) {
  const { value, threshold } = event.data;
  if (value === "" || value === "NaN") return null; // no number, as of a host that is not heard of
  return (
    <>
      <span className="visually-hidden">value </span>
      {alertValue(value)}
      {threshold !== "" && <span className="threshold"> limit {threshold}</span>}
    </>
  );
}
