export const ABSENT = "–";

/** 0.4234 → "42 %"; below ten one digit after the point. */
export function percent(ratio: number | null): string {
  if (ratio === null) return ABSENT;
  const value = ratio * 100;
  return `${value.toFixed(Math.abs(value) < 9.95 ? 1 : 0)} %`;
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 → "1.5 KiB". */
export function bytes(value: number | null): string {
  if (value === null) return ABSENT;
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 1024 && unit < BINARY.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(scaled) >= 100 ? 0 : 1;
  return `${scaled.toFixed(digits)} ${BINARY[unit]}`;
}

/** 1536 → "1.5 KiB/s". */
export function bytesPerSecond(value: number | null): string {
  return value === null ? ABSENT : `${bytes(value)}/s`;
}

/** 0.3812 → "0.38"; 123.4 → "123". */
export function plain(value: number | null): string {
  if (value === null) return ABSENT;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.005) return value.toExponential(0);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** An alert's value, which is text so that it can be NaN: "0.9134267" → "0.913"; what is no number stays as it is. */
export function alertValue(text: string): string {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) return text;
  return Number(value.toPrecision(3)).toString();
}

const GROUPED = new Intl.NumberFormat("en", { useGrouping: true });

/** 12345 → "12,345". */
export function count(value: number): string {
  return GROUPED.format(value);
}

/** count(1, "host") → "1 host", count of two → "2 hosts". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}
