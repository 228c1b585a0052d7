import { describe, expect, it } from "vitest";
import type { Host } from "../../api/client";
import { COLUMNS } from "./columns";
import { formatOrder, nextOrder, parseFilter, parseOrder, select, slice, sort } from "./ordering";

function host(name: string, changes: Partial<Host> = {}): Host {
  return {
    host: name,
    status: "up",
    last_seen: "2026-11-23T10:41:20.000Z",
    simulated: false,
    cpu_ratio: 0.5,
    memory_ratio: 0.5,
    filesystem_ratio: 0.5,
    disk_ratio: 0.5,
    network_receive_bytes_per_second: 1,
    network_transmit_bytes_per_second: 1,
    load_per_core: 0.5,
    alerts: { warning: 0, critical: 0 },
    ...changes,
  };
}

const names = (hosts: Host[]) => hosts.map((item) => item.host);

describe("sort", () => {
  it("orders names as people count", () => {
    const hosts = [host("web-10"), host("web-9"), host("db-1")];
    expect(names(sort(hosts, parseOrder("host")))).toEqual(["db-1", "web-9", "web-10"]);
    expect(names(sort(hosts, parseOrder("-host")))).toEqual(["web-10", "web-9", "db-1"]);
  });

  it("puts hosts without a value last in both directions", () => {
    const hosts = [
      host("a", { cpu_ratio: null }),
      host("b", { cpu_ratio: 0.1 }),
      host("c", { cpu_ratio: 0.9 }),
    ];
    expect(names(sort(hosts, parseOrder("cpu")))).toEqual(["b", "c", "a"]);
    expect(names(sort(hosts, parseOrder("-cpu")))).toEqual(["c", "b", "a"]);
  });

  it("orders equal hosts by name in both directions", () => {
    const hosts = [host("b"), host("a"), host("c", { cpu_ratio: null }), host("d", { cpu_ratio: null })];
    expect(names(sort(hosts, parseOrder("-cpu")))).toEqual(["a", "b", "c", "d"]);
    expect(names(sort(hosts, parseOrder("cpu")))).toEqual(["a", "b", "c", "d"]);
  });

  it("ranks one critical alert above any number of warnings", () => {
    const hosts = [
      host("w", { alerts: { warning: 40, critical: 0 } }),
      host("c", { alerts: { warning: 0, critical: 1 } }),
    ];
    expect(names(sort(hosts, parseOrder("-alerts")))).toEqual(["c", "w"]);
  });

  it("sorts the network by both directions together", () => {
    const hosts = [
      host("in", { network_receive_bytes_per_second: 10, network_transmit_bytes_per_second: null }),
      host("both", { network_receive_bytes_per_second: 6, network_transmit_bytes_per_second: 6 }),
      host("none", { network_receive_bytes_per_second: null, network_transmit_bytes_per_second: null }),
    ];
    expect(names(sort(hosts, parseOrder("-network")))).toEqual(["both", "in", "none"]);
  });

  it("leaves its argument as it was", () => {
    const hosts = [host("b"), host("a")];
    sort(hosts, parseOrder("host"));
    expect(names(hosts)).toEqual(["b", "a"]);
  });
});

describe("order in the address", () => {
  it("is read and written alike for every column", () => {
    for (const { id } of COLUMNS) {
      for (const text of [id, `-${id}`]) expect(formatOrder(parseOrder(text))).toBe(text);
    }
  });

  it("falls back to the name", () => {
    for (const text of [null, "", "-", "nonsense"]) expect(formatOrder(parseOrder(text))).toBe("host");
  });

  it("starts numbers with the highest and turns around", () => {
    const cpu = COLUMNS.find(({ id }) => id === "cpu") ?? COLUMNS[0];
    if (cpu === undefined) throw new Error("no columns");
    const first = nextOrder(parseOrder("host"), cpu);
    expect(formatOrder(first)).toBe("-cpu");
    expect(formatOrder(nextOrder(first, cpu))).toBe("cpu");
  });
});

describe("select", () => {
  const hosts = [
    host("Web-1"),
    host("web-2", { status: "silent" }),
    host("db-1", { alerts: { warning: 1, critical: 0 } }),
  ];

  it("searches names whatever the case", () =>
    expect(names(select(hosts, " WEB", ""))).toEqual(["Web-1", "web-2"]));
  it("filters by status", () => expect(names(select(hosts, "", "silent"))).toEqual(["web-2"]));
  it("filters by alerts", () => expect(names(select(hosts, "", "alerting"))).toEqual(["db-1"]));
  it("takes an unknown filter as none", () => expect(parseFilter("toString")).toBe(""));
});

describe("slice", () => {
  const rows = [1, 2, 3, 4, 5];

  it("cuts pages", () => expect(slice(rows, 2, 2)).toEqual({ rows: [3, 4], page: 2, pages: 3, first: 3 }));
  it("ends at the last page", () =>
    expect(slice(rows, 9, 2)).toEqual({ rows: [5], page: 3, pages: 3, first: 5 }));
  it("begins at the first", () => {
    for (const page of [Number.NaN, 0, -3]) expect(slice(rows, page, 2).rows).toEqual([1, 2]);
  });
  it("has one empty page of nothing", () =>
    expect(slice([], 1, 2)).toEqual({ rows: [], page: 1, pages: 1, first: 1 }));
});
