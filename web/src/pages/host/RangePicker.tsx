import { RANGES, type Range } from "./ranges";

export function RangePicker({ range, onRange }: { range: Range; onRange: (id: string) => void }) {
  return (
    <fieldset className="range">
      <legend className="visually-hidden">Range of the charts</legend>
      {RANGES.map(({ id, title }) => (
        <label key={id} title={`The last ${title}`}>
          <input
            type="radio"
            name="range"
            value={id}
            checked={id === range.id}
            onChange={() => onRange(id)}
          />
          <span aria-hidden="true">{id}</span>
          <span className="visually-hidden">The last {title}</span>
        </label>
      ))}
    </fieldset>
  );
}
