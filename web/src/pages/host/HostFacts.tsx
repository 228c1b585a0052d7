import type { HostDetail } from "../../api/client";
import { bytes, count, percent } from "../../format/number";
import { duration } from "../../format/time";
import { Mark } from "../../parts/Mark";
import { Moment } from "../../parts/Moment";
import { Simulated } from "../../parts/Simulated";

export function HostFacts({ host }: { host: HostDetail }) {
  const { facts } = host;
  const system = [facts.sysname, facts.release, facts.machine].filter(Boolean).join(" ");
  return (
    <dl className="facts">
      <Fact name="Status">
        <Mark state={host.status} />
        {host.simulated && <Simulated />}
      </Fact>
      <Fact name="Last seen">
        <Moment at={host.last_seen} now={host.now} />
      </Fact>
      <Fact name="CPU now">{percent(host.cpu_ratio)}</Fact>
      <Fact name="Memory now">{percent(host.memory_ratio)}</Fact>
      {system !== "" && <Fact name="System">{system}</Fact>}
      {facts.cores !== null && <Fact name="Cores">{count(facts.cores)}</Fact>}
      {facts.memory_bytes !== null && <Fact name="Memory">{bytes(facts.memory_bytes)}</Fact>}
      {facts.boot_time !== null && (
        <Fact name="Up for">{duration(Date.parse(host.now) - Date.parse(facts.boot_time))}</Fact>
      )}
      <Fact name="Series">{count(host.series)}</Fact>
      <Fact name="First seen">
        <Moment at={host.first_seen} now={host.now} />
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
