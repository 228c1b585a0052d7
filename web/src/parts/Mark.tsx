import { Icon, type IconName } from "./Icon";

const WORDS = { up: "Up", silent: "Silent", warning: "Warning", critical: "Critical", resolved: "Resolved" };

/** A state as shape, word and colour. */
export function Mark({ state }: { state: keyof typeof WORDS }) {
  const icon: IconName = state;
  return (
    <span className={`mark mark-${state}`}>
      <Icon name={icon} />
      {WORDS[state]}
    </span>
  );
}
