import { useEffect, useRef } from "react";
import { counted } from "../../format/number";
import { FILTERS, type Filter } from "./ordering";

interface Props {
  text: string;
  filter: Filter;
  found: number;
  onChange: (changes: { q?: string; show?: string; page: "" }) => void;
}

export function FleetFilter({ text, filter, found, onChange }: Props) {
  const input = useSlashKey();
  return (
    <search className="filter">
      <label>
        <span className="visually-hidden">Search hosts by name</span>
        <input
          ref={input}
          type="search"
          placeholder="Search hosts ( / )"
          value={text}
          onChange={(event) => onChange({ q: event.target.value, page: "" })}
        />
      </label>
      <label>
        <span className="visually-hidden">Show</span>
        <select value={filter} onChange={(event) => onChange({ show: event.target.value, page: "" })}>
          {Object.entries(FILTERS).map(([id, title]) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <output className="found">{counted(found, "host")}</output>
    </search>
  );
}

/** "/" goes to the search field, as in most tools of this kind. */
function useSlashKey() {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const typing =
        event.target instanceof Element && event.target.closest("input, select, textarea") !== null;
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
  return input;
}
