import type { Host } from "../../api/client";

export type ColumnId =
  | "host"
  | "status"
  | "alerts"
  | "cpu"
  | "memory"
  | "filesystem"
  | "disk"
  | "load"
  | "network"
  | "seen";

export interface Column {
  id: ColumnId;
  title: string;
  /** A longer explanation, for a pointer and a screen reader. */
  about: string;
  numeric: boolean;
  /** What the column sorts by; null sorts last either way. */
  key: (host: Host) => string | number | null;
}

const SEVERITY_WEIGHT = 1_000_000;

export const COLUMNS: readonly Column[] = [
  { id: "host", title: "Host", about: "Name", numeric: false, key: (host) => host.host },
  {
    id: "status",
    title: "Status",
    about: "Whether samples arrive",
    numeric: false,
    key: (host) => host.status,
  },
  {
    id: "alerts",
    title: "Alerts",
    about: "Alerts that fire now, critical before warning",
    numeric: false,
    key: ({ alerts }) => alerts.critical * SEVERITY_WEIGHT + alerts.warning,
  },
  { id: "cpu", title: "CPU", about: "CPU in use", numeric: true, key: (host) => host.cpu_ratio },
  { id: "memory", title: "Memory", about: "Memory in use", numeric: true, key: (host) => host.memory_ratio },
  {
    id: "filesystem",
    title: "Filesystem",
    about: "Space in use on the fullest filesystem",
    numeric: true,
    key: (host) => host.filesystem_ratio,
  },
  {
    id: "disk",
    title: "Disk",
    about: "Time that the busiest disk had requests in flight",
    numeric: true,
    key: (host) => host.disk_ratio,
  },
  { id: "load", title: "Load", about: "Load per core", numeric: true, key: (host) => host.load_per_core },
  {
    id: "network",
    title: "Network in / out",
    about: "Bytes received and sent per second; sorts by their sum",
    numeric: true,
    key: (host) => sum(host.network_receive_bytes_per_second, host.network_transmit_bytes_per_second),
  },
  {
    id: "seen",
    title: "Last seen",
    about: "Time of the newest sample",
    numeric: true,
    key: (host) => host.last_seen,
  },
];

function sum(first: number | null, second: number | null): number | null {
  return first === null && second === null ? null : (first ?? 0) + (second ?? 0);
}
