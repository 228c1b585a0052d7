import { useAlerts } from "../../api/queries";
import { placeHref } from "../../app/location";
import { usePlace } from "../../app/usePlace";
import { AlertList } from "../../parts/AlertList";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import { Moment } from "../../parts/Moment";
import { useTitle } from "../../parts/useTitle";
import { AlertCare } from "./AlertCare";
import { History } from "./History";

/** What fires now and what happened before, of the fleet or of the host in the address. */
export function AlertsPage() {
  const host = usePlace().search.get("host") || null;
  useTitle(host === null ? "Alerts" : `Alerts of ${host}`);
  return (
    <>
      <h1>{host === null ? "Alerts" : `Alerts of ${host}`}</h1>
      {host !== null && (
        <p>
          <a href={placeHref(["alerts"])}>Show the alerts of all hosts</a>
        </p>
      )}
      <section aria-labelledby="firing">
        <h2 id="firing">Firing</h2>
        <Firing host={host} />
      </section>
      <section aria-labelledby="history">
        <h2 id="history">History</h2>
        <History host={host} />
      </section>
    </>
  );
}

function Firing({ host }: { host: string | null }) {
  return (
    <Answer query={useAlerts(host)} what="alerts">
      {({ alerts, now }) =>
        alerts.length === 0 ? (
          <Empty title="Nothing fires." />
        ) : (
          <AlertList
            label="Firing alerts"
            events={alerts}
            more={(event) => <AlertCare event={event} />}
            when={({ data }) => (
              <>
                since <Moment at={data.startsAt} now={now} />
              </>
            )}
          />
        )
      }
    </Answer>
  );
}
