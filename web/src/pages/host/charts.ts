import type { SampledSeries, Samples } from "../../api/client";
import { combine, highest, joinHoles, type Line, type Plot, pairs, valuesAt } from "./lines";

export type Unit = "ratio" | "bytes" | "bytesPerSecond" | "plain";

export interface Source {
  metric: string;
  aggregate: "avg" | "max" | "rate";
  match?: string[];
}

export interface Chart {
  id: string;
  title: string;
  about: string;
  unit: Unit;
  /** Upper end of the scale; without it the scale follows the values. */
  top?: number;
  /** Whether the area below the first line is shaded: for an amount in use of a whole. */
  shaded?: boolean;
  sources: readonly Source[];
  /** The lines of the sources' answers, which are in the order of `sources`. */
  lines: (answers: readonly Samples[], starts: readonly number[]) => DrawnLine[];
}

type DrawnLine = { name: string; values: (number | null)[] };

const MOST_LINES = 8;
const REAL_INTERFACES = ['device!~"lo|veth.*|br-.*|docker.*|cali.*|flannel.*"'];
const REAL_DISKS = ['device!~"loop.*|ram.*|zram.*|fd.*|sr.*"'];

export const CHARTS: readonly Chart[] = [
  {
    id: "cpu",
    title: "CPU",
    about: "Part of all cores in use, over one minute",
    unit: "ratio",
    shaded: true,
    top: 1,
    sources: [
      { metric: "host:cpu_utilisation:ratio_rate1m", aggregate: "avg" },
      { metric: "host:cpu_utilisation:ratio_rate1m", aggregate: "max" },
    ],
    lines: ([average, peak], starts) => [
      ...named(average, starts, () => "in use"),
      ...named(peak, starts, () => "peak").filter((line, index) =>
        differs(line, average?.series[index], starts),
      ),
    ],
  },
  {
    id: "memory",
    title: "Memory",
    about: "Memory that processes cannot get without swapping, and all there is",
    unit: "bytes",
    shaded: true,
    sources: [
      { metric: "node_memory_MemTotal_bytes", aggregate: "avg" },
      { metric: "node_memory_MemAvailable_bytes", aggregate: "avg" },
    ],
    lines: ([total, available], starts) =>
      paired(total, available).flatMap(([all, free]) => [
        { name: "in use", values: both(all, free, starts, (size, rest) => size - rest) },
        { name: "total", values: valuesAt(starts, all.points) },
      ]),
  },
  {
    id: "filesystem",
    title: "Filesystem",
    about: "Part of each filesystem's space in use",
    unit: "ratio",
    top: 1,
    sources: [
      { metric: "node_filesystem_size_bytes", aggregate: "avg" },
      { metric: "node_filesystem_avail_bytes", aggregate: "avg" },
    ],
    lines: ([size, available], starts) =>
      paired(size, available).map(([all, free]) => ({
        name: all.labels["mountpoint"] ?? "",
        values: both(all, free, starts, (space, rest) => 1 - rest / space),
      })),
  },
  {
    id: "disk",
    title: "Disk",
    about: "Bytes read and written per second",
    unit: "bytesPerSecond",
    sources: [
      { metric: "node_disk_read_bytes_total", aggregate: "rate", match: REAL_DISKS },
      { metric: "node_disk_written_bytes_total", aggregate: "rate", match: REAL_DISKS },
    ],
    lines: ([read, written], starts) => [
      ...named(read, starts, ({ device }) => `${device} read`),
      ...named(written, starts, ({ device }) => `${device} written`),
    ],
  },
  {
    id: "network",
    title: "Network",
    about: "Bytes received and sent per second",
    unit: "bytesPerSecond",
    sources: [
      { metric: "node_network_receive_bytes_total", aggregate: "rate", match: REAL_INTERFACES },
      { metric: "node_network_transmit_bytes_total", aggregate: "rate", match: REAL_INTERFACES },
    ],
    lines: ([received, sent], starts) => [
      ...named(received, starts, ({ device }) => `${device} received`),
      ...named(sent, starts, ({ device }) => `${device} sent`),
    ],
  },
  {
    id: "load",
    title: "Load",
    about: "Processes that run or wait, averaged by the kernel",
    unit: "plain",
    sources: [
      { metric: "node_load1", aggregate: "avg" },
      { metric: "node_load5", aggregate: "avg" },
      { metric: "node_load15", aggregate: "avg" },
    ],
    lines: (answers, starts) =>
      answers.flatMap((answer, index) => named(answer, starts, () => `${["1", "5", "15"][index]} min`)),
  },
];

/** The chart's plot from its sources' answers. */
export function plot(chart: Chart, answers: readonly Samples[], starts: number[]): Plot {
  const drawn: Line[] = chart
    .lines(answers, starts)
    .filter(({ values }) => values.some((value) => value !== null))
    .map(({ name, values }) => ({ name, values: joinHoles(values) }));
  return { starts, ...highest(drawn, MOST_LINES) };
}

function named(
  answer: Samples | undefined,
  starts: readonly number[],
  name: (labels: Record<string, string>) => string,
): DrawnLine[] {
  return (answer?.series ?? []).map(({ labels, points }) => ({
    name: name(labels),
    values: valuesAt(starts, points),
  }));
}

function paired(first: Samples | undefined, second: Samples | undefined): [SampledSeries, SampledSeries][] {
  return first === undefined || second === undefined ? [] : pairs(first, second);
}

function both(
  first: SampledSeries,
  second: SampledSeries,
  starts: readonly number[],
  of: (first: number, second: number) => number,
): (number | null)[] {
  return combine([valuesAt(starts, first.points), valuesAt(starts, second.points)], of);
}

/** Whether a step holds more than one sample, so that its peak is not its average. */
function differs(line: DrawnLine, series: SampledSeries | undefined, starts: readonly number[]): boolean {
  const other = valuesAt(starts, series?.points ?? []);
  return line.values.some((value, index) => value !== (other[index] ?? null));
}
