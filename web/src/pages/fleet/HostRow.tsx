import { memo } from "react";
import type { Host } from "../../api/client";
import { hostHref } from "../../app/location";
import { ABSENT, bytesPerSecond, count, percent, plain } from "../../format/number";
import { Icon } from "../../parts/Icon";
import { Mark } from "../../parts/Mark";
import { Moment } from "../../parts/Moment";
import { Simulated } from "../../parts/Simulated";
import { Ratio } from "./Ratio";

export const HostRow = memo(function HostRow({ host, now }: { host: Host; now: string }) {
  const silent = host.status === "silent";
  return (
    <tr className={silent ? "silent" : undefined}>
      <th scope="row" className="column-host">
        <a href={hostHref(host.host)}>{host.host}</a>
        {host.simulated && <Simulated />}
      </th>
      <td>
        <Mark state={host.status} />
      </td>
      <td>
        <Alerts counts={host.alerts} />
      </td>
      <td className="numeric">
        <Ratio value={host.cpu_ratio} text={percent(host.cpu_ratio)} />
      </td>
      <td className="numeric">
        <Ratio value={host.memory_ratio} text={percent(host.memory_ratio)} />
      </td>
      <td className="numeric">
        <Ratio value={host.filesystem_ratio} text={percent(host.filesystem_ratio)} />
      </td>
      <td className="numeric">
        <Ratio value={host.disk_ratio} text={percent(host.disk_ratio)} />
      </td>
      <td className="numeric">
        <Ratio value={host.load_per_core} text={plain(host.load_per_core)} />
      </td>
      <td className="numeric network">
        <span>{bytesPerSecond(host.network_receive_bytes_per_second)}</span>
        <span className="visually-hidden"> in, </span>
        <span>{bytesPerSecond(host.network_transmit_bytes_per_second)}</span>
        <span className="visually-hidden"> out</span>
      </td>
      <td className="numeric seen">
        <Moment at={host.last_seen} now={now} />
      </td>
    </tr>
  );
});

function Alerts({ counts }: { counts: Host["alerts"] }) {
  if (counts.critical + counts.warning === 0) {
    return (
      <>
        <span aria-hidden="true" className="absent">
          {ABSENT}
        </span>
        <span className="visually-hidden">none</span>
      </>
    );
  }
  return (
    <span className="alerts">
      {counts.critical > 0 && <Count severity="critical" value={counts.critical} />}
      {counts.warning > 0 && <Count severity="warning" value={counts.warning} />}
    </span>
  );
}

function Count({ severity, value }: { severity: "critical" | "warning"; value: number }) {
  return (
    <span className={`mark mark-${severity}`} title={severity}>
      <Icon name={severity} />
      {count(value)}
      <span className="visually-hidden"> {severity}</span>
    </span>
  );
}
