interface Props {
  label: string;
  value: string;
  /** What is sent, and the words for it. */
  options: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

/** One of a few, under its label. */
export function Choice({ label, value, options, onChange }: Props) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([sent, words]) => (
          <option key={sent} value={sent}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
