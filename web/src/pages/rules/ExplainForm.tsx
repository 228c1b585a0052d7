import { type FormEvent, useState } from "react";
import { useHosts } from "../../api/queries";
import { useSetSearch } from "../../app/usePlace";

const SPANS: readonly [string, string][] = [
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["6h", "6 hours"],
  ["1d", "1 day"],
];

interface Props {
  host: string;
  at: string;
  before: string;
}

/** Which host, at what time, and how much of what was before. */
export function ExplainForm({ host, at, before }: Props) {
  const setSearch = useSetSearch();
  const hosts = useHosts().data?.hosts ?? [];
  const [name, setName] = useState(host);
  const [local, setLocal] = useState(at === "" ? "" : localTime(at));

  const show = (event: FormEvent) => {
    event.preventDefault();
    setSearch({ host: name.trim(), at: local === "" ? "" : new Date(local).toISOString() });
  };
  return (
    <form className="explain-form" onSubmit={show}>
      <label>
        Host
        <input list="explain-hosts" value={name} onChange={(event) => setName(event.target.value)} required />
        <datalist id="explain-hosts">
          {hosts.slice(0, 1000).map((one) => (
            <option key={one.host} value={one.host} />
          ))}
        </datalist>
      </label>
      <label>
        At (empty: now)
        <input
          type="datetime-local"
          step="1"
          value={local}
          onChange={(event) => setLocal(event.target.value)}
        />
      </label>
      <label>
        And before it
        <select value={before} onChange={(event) => setSearch({ before: event.target.value })}>
          {SPANS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <button type="submit">Explain</button>
    </form>
  );
}

/** An RFC 3339 time as an input has it: local, without an offset. */
function localTime(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
