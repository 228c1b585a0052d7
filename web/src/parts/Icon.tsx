// Shapes differ, not only colours: circle, ring, triangle, diamond, tick.
const PATHS = {
  up: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z",
  silent: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2.2a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6z",
  warning: "M8 1.6 15.2 14H.8z",
  critical: "M8 .8 15.2 8 8 15.2.8 8z",
  resolved: "M6.4 12.6 1.9 8.1l1.6-1.6 2.9 2.9 6.1-6.1 1.6 1.6z",
  ascending: "M8 4l5 7H3z",
  descending: "M8 12 3 5h10z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM7.2 0h1.6v3H7.2zm0 13h1.6v3H7.2zM0 7.2h3v1.6H0zm13 0h3v1.6h-3zM2 3.1 3.1 2l2.1 2.1-1.1 1.1zm8.8 8.8 1.1-1.1 2.1 2.1-1.1 1.1zM2 12.9l2.1-2.1 1.1 1.1L3.1 14zm8.8-8.8L12.9 2 14 3.1l-2.1 2.1z",
  moon: "M6.2 1.2a7 7 0 1 0 8.6 8.6A5.6 5.6 0 0 1 6.2 1.2z",
  auto: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.8v10.4A5.2 5.2 0 0 1 8 2.8z",
} as const;

export type IconName = keyof typeof PATHS;

/** A decoration: the text beside it says the same. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      className={`icon icon-${name}`}
      viewBox="0 0 16 16"
      width="12"
      height="12"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} fillRule="evenodd" />
    </svg>
  );
}
