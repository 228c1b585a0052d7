import type { HostList } from "../../api/client";
import { count, counted } from "../../format/number";
import { Mark } from "../../parts/Mark";

/** The fleet in one line. */
export function FleetSummary({ list }: { list: HostList }) {
  const { hosts, total } = list;
  const silent = hosts.filter((host) => host.status === "silent").length;
  const critical = hosts.reduce((sum, host) => sum + host.alerts.critical, 0);
  const warning = hosts.reduce((sum, host) => sum + host.alerts.warning, 0);
  return (
    <>
      <dl className="summary">
        <Figure value={total} name="Hosts" />
        <Figure value={hosts.length - silent} name={<Mark state="up" />} />
        <Figure value={silent} name={<Mark state="silent" />} />
        <Figure value={critical} name={<Mark state="critical" />} />
        <Figure value={warning} name={<Mark state="warning" />} />
      </dl>
      {total > hosts.length && (
        <p className="notice stale">
          The table and its counts cover the first {counted(hosts.length, "host")} by name of {count(total)}.
        </p>
      )}
    </>
  );
}

function Figure({ value, name }: { value: number; name: React.ReactNode }) {
  return (
    <div className={value === 0 ? "none" : undefined}>
      <dt>{name}</dt>
      <dd>{count(value)}</dd>
    </div>
  );
}
