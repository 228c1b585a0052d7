import { type FormEvent, useState } from "react";
import { useHosts } from "../../api/queries";
import { useSetSearch } from "../../app/usePlace";
import { localTime } from "../../format/time";
import { Choice } from "../../parts/Choice";
import { Field } from "../../parts/Field";

const SPANS = [
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["6h", "6 hours"],
  ["1d", "1 day"],
] as const;

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
  const [local, setLocal] = useState(localTime(at));

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
      <Field label="At (empty: now)" type="datetime-local" step="1" value={local} onChange={setLocal} />
      <Choice
        label="And before it"
        value={before}
        options={SPANS}
        onChange={(value) => setSearch({ before: value })}
      />
      <button type="submit">Explain</button>
    </form>
  );
}
