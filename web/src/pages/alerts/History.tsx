import { useAlertHistory } from "../../api/queries";
import { dateAndClock } from "../../format/time";
import { AlertList } from "../../parts/AlertList";
import { Answer } from "../../parts/Answer";
import { transition } from "../../parts/alert";
import { Empty } from "../../parts/Empty";

/** Every transition, newest first; older ones on demand. */
export function History({ host }: { host: string | null }) {
  const query = useAlertHistory(host);
  return (
    <Answer query={query} what="past alerts">
      {({ pages }) => {
        const events = pages.flatMap((page) => page.events);
        if (events.length === 0) {
          return <Empty title="No alert has fired yet.">Every change of an alert will be listed here.</Empty>;
        }
        return (
          <>
            <AlertList
              label="Past changes of alerts"
              events={events}
              when={(event) => (
                <>
                  <span className="happened">{transition(event)}</span>
                  <time dateTime={event.time}>{dateAndClock(event.time)}</time>
                </>
              )}
            />
            {query.hasNextPage && (
              <p className="pages">
                <button
                  type="button"
                  onClick={() => void query.fetchNextPage()}
                  disabled={query.isFetchingNextPage}
                >
                  {query.isFetchingNextPage ? "Loading…" : "Show older"}
                </button>
              </p>
            )}
          </>
        );
      }}
    </Answer>
  );
}
