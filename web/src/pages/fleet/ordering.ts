import type { Host } from "../../api/client";
import { COLUMNS, type Column, type ColumnId } from "./columns";

export interface Order {
  column: ColumnId;
  descending: boolean;
}

export const FILTERS = { "": "All hosts", up: "Up", silent: "Silent", alerting: "With alerts" } as const;
export type Filter = keyof typeof FILTERS;

const NAMES = new Intl.Collator("en", { numeric: true });

/** "-cpu" → CPU, highest first; what is no column → by host name. */
export function parseOrder(text: string | null): Order {
  const descending = text?.startsWith("-") ?? false;
  const column = COLUMNS.find(({ id }) => id === text?.slice(descending ? 1 : 0));
  return column === undefined ? { column: "host", descending: false } : { column: column.id, descending };
}

export function formatOrder({ column, descending }: Order): string {
  return `${descending ? "-" : ""}${column}`;
}

/** What a click on a column's heading gives: numbers and alerts start with the highest, a second click turns around. */
export function nextOrder(order: Order, column: Column): Order {
  if (order.column === column.id) return { column: column.id, descending: !order.descending };
  return { column: column.id, descending: column.numeric || column.id === "alerts" };
}

export function parseFilter(text: string | null): Filter {
  return text !== null && Object.hasOwn(FILTERS, text) ? (text as Filter) : "";
}

/** The hosts whose name contains the text and that pass the filter. */
export function select(hosts: readonly Host[], search: string, filter: Filter): Host[] {
  const wanted = search.trim().toLowerCase();
  return hosts.filter((host) => host.host.toLowerCase().includes(wanted) && passes(host, filter));
}

function passes(host: Host, filter: Filter): boolean {
  if (filter === "") return true;
  return filter === "alerting" ? host.alerts.critical + host.alerts.warning > 0 : host.status === filter;
}

/** A sorted copy: null last whichever the direction, equals by name so that rows do not jump between refreshes. */
export function sort(hosts: readonly Host[], order: Order): Host[] {
  const column = COLUMNS.find(({ id }) => id === order.column);
  if (column === undefined) return [...hosts];
  const sign = order.descending ? -1 : 1;
  return hosts
    .map((host) => ({ host, key: column.key(host) }))
    .sort((a, b) => {
      if (a.key === null || b.key === null) {
        if (a.key !== b.key) return a.key === null ? 1 : -1;
      } else {
        const found = sign * compare(a.key, b.key);
        if (found !== 0) return found;
      }
      return NAMES.compare(a.host.host, b.host.host);
    })
    .map(({ host }) => host);
}

function compare(a: string | number, b: string | number): number {
  return typeof a === "number" && typeof b === "number" ? a - b : NAMES.compare(String(a), String(b));
}

export interface Slice<T> {
  rows: T[];
  page: number;
  pages: number;
  first: number;
}

/** One page of rows; a page number beyond the end is the last. `first` counts from 1. */
export function slice<T>(rows: readonly T[], page: number, size: number): Slice<T> {
  const pages = Math.max(1, Math.ceil(rows.length / size));
  const shown = Math.min(Math.max(1, Math.trunc(page) || 1), pages);
  const from = (shown - 1) * size;
  return { rows: rows.slice(from, from + size), page: shown, pages, first: from + 1 };
}
