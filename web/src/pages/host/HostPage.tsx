import { RequestError } from "../../api/client";
import { useAlerts, useHost } from "../../api/queries";
import { placeHref } from "../../app/location";
import { usePlace, useSetSearch } from "../../app/usePlace";
import { AlertList } from "../../parts/AlertList";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import { Moment } from "../../parts/Moment";
import { useTitle } from "../../parts/useTitle";
import { ChartPanel } from "./ChartPanel";
import { CHARTS } from "./charts";
import { HostFacts } from "./HostFacts";
import { RangePicker } from "./RangePicker";
import { parseRange } from "./ranges";
import "./host.css";

/** One host: what it is, what fires on it, and its charts over the range in the address. */
export function HostPage({ host }: { host: string }) {
  useTitle(host);
  const query = useHost(host);
  const unknown = query.error instanceof RequestError && query.error.status === 404;
  // Samples are asked for once the host is known, or when only its facts cannot be had.
  const shown = !query.isPending && !unknown;
  const range = parseRange(usePlace().search.get("range"));
  const setSearch = useSetSearch();
  return (
    <>
      <p className="crumb">
        <a href="#/">Fleet</a>
      </p>
      <h1>{host}</h1>
      <Answer query={query} what="facts of this host">
        {(detail) => <HostFacts host={detail} />}
      </Answer>
      {shown && (
        <>
          <HostAlerts host={host} />
          <section aria-labelledby="charts">
            <div className="charts-head">
              <h2 id="charts">Charts</h2>
              <RangePicker range={range} onRange={(id) => setSearch({ range: id })} />
            </div>
            <div className="charts">
              {CHARTS.map((chart) => (
                <ChartPanel key={chart.id} host={host} chart={chart} range={range} />
              ))}
            </div>
          </section>
        </>
      )}
    </>
  );
}

function HostAlerts({ host }: { host: string }) {
  return (
    <section aria-labelledby="alerts" className="host-alerts">
      <h2 id="alerts">Alerts</h2>
      <Answer query={useAlerts(host)} what="alerts">
        {({ alerts, now }) =>
          alerts.length === 0 ? (
            <Empty title="Nothing fires on this host." />
          ) : (
            <AlertList
              label="Alerts that fire on this host"
              events={alerts}
              showHost={false}
              when={({ data }) => (
                <>
                  since <Moment at={data.startsAt} now={now} />
                </>
              )}
            />
          )
        }
      </Answer>
      <p>
        <a href={placeHref(["alerts"], { host })}>Alert history of this host</a>
      </p>
    </section>
  );
}
