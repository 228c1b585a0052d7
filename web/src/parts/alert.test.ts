import { describe, expect, it } from "vitest";
import type { AlertEvent } from "../api/client";
import { alertName, alertState, ownLabels, transition } from "./alert";

function event(changes: Partial<AlertEvent["data"]> = {}): AlertEvent {
  return {
    id: "7d1f0c5be2a94410/1",
    source: "/fleetpulse/rules/HostFilesystemFull",
    subject: "web-017",
    time: "2026-11-23T10:40:30.000Z",
    specversion: "1.0",
    type: "fleetpulse.alert.v1",
    datacontenttype: "application/json",
    data: {
      status: "firing",
      labels: {
        alertname: "HostFilesystemFull",
        instance: "web-017",
        severity: "warning",
        mountpoint: "/data",
      },
      annotations: {},
      startsAt: "2026-11-23T10:40:30.000Z",
      endsAt: "0001-01-01T00:00:00Z",
      fingerprint: "0f6a2b9de7c14c35",
      generatorURL: "",
      episode: "7d1f0c5be2a94410",
      transition: 1,
      previousSeverity: null,
      stale: false,
      late: false,
      flapping: false,
      reason: "threshold",
      host: "web-017",
      rule: { name: "HostFilesystemFull", hash: "5c2e77aa01b3d9f4" },
      value: "0.91",
      threshold: "> 0.9",
      evidence: [],
      ...changes,
    },
  };
}

describe("an alert event", () => {
  it("shows its severity while it fires and that it is over afterwards", () => {
    expect(alertState(event())).toBe("warning");
    expect(alertState(event({ labels: { severity: "critical" } }))).toBe("critical");
    expect(alertState(event({ labels: { severity: "page" } }))).toBe("warning");
    expect(alertState(event({ status: "resolved" }))).toBe("resolved");
  });

  it("is named by its label and else by its rule", () => {
    expect(alertName(event())).toBe("HostFilesystemFull");
    expect(alertName(event({ labels: {} }))).toBe("HostFilesystemFull");
  });

  it("shows the labels that the page does not show elsewhere", () => {
    expect(ownLabels(event())).toBe('mountpoint="/data"');
    expect(ownLabels(event({ labels: { alertname: "A", instance: "b" } }))).toBe("");
  });

  it("says what happened", () => {
    expect(transition(event())).toBe("started to fire");
    const worse = event({
      previousSeverity: "warning",
      labels: { severity: "critical" },
      reason: "severity_changed",
    });
    expect(transition(worse)).toBe("warning became critical");
    expect(transition(event({ status: "resolved", previousSeverity: "critical", reason: "recovered" }))).toBe(
      "recovered",
    );
    expect(transition(event({ reason: "invented_later" }))).toBe("invented later");
  });
});
