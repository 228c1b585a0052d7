import type { AlertEvent } from "../api/client";

export type AlertState = "warning" | "critical" | "resolved";

/** What an event says of its alert; a severity that is neither of the two counts as a warning. */
export function alertState({ data }: AlertEvent): AlertState {
  if (data.status === "resolved") return "resolved";
  return data.labels["severity"] === "critical" ? "critical" : "warning";
}

export function alertName({ data }: AlertEvent): string {
  return data.labels["alertname"] ?? data.rule.name;
}

/** Labels that tell this alert from others of its rule on the same host, as mountpoint="/data". */
export function ownLabels({ data }: AlertEvent): string {
  const said = new Set(["alertname", "host", "instance", "job", "severity", "simulated"]);
  return Object.entries(data.labels)
    .filter(([name]) => !said.has(name))
    .map(([name, value]) => `${name}="${value}"`)
    .join(" ");
}

const REASONS: Readonly<Record<string, string>> = {
  threshold: "started to fire",
  recovered: "recovered",
  no_data: "no data arrives",
  data_returned: "data arrive again",
  series_gone: "its series ended",
  rule_changed: "its rule was changed",
  rule_deleted: "its rule was deleted",
  flapping: "changes its state too often",
  flapping_ended: "changes its state seldom again",
  host_departed: "its host is gone for good",
};

/** What happened, in words: "warning became critical", "started to fire"; a reason that is new here is shown as sent. */
export function transition(event: AlertEvent): string {
  const { previousSeverity, reason, status } = event.data;
  const severity = event.data.labels["severity"];
  if (
    status === "firing" &&
    previousSeverity !== null &&
    severity !== undefined &&
    previousSeverity !== severity
  ) {
    return `${previousSeverity} became ${severity}`;
  }
  return reasonText(reason);
}

/** Why, in words. */
export function reasonText(reason: string): string {
  return REASONS[reason] ?? reason.replaceAll("_", " ");
}
