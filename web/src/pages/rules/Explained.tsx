import type { Explanation } from "../../api/client";
import { type Question, useExplanation } from "../../api/explain";
import { dateAndClock } from "../../format/time";
import { Answer } from "../../parts/Answer";
import { reasonText } from "../../parts/alert";
import { Empty } from "../../parts/Empty";
import { Track } from "./Track";

/** The verdict, then each series' value and state over time, then what was published. */
export function Explained({ question }: { question: Question }) {
  return (
    <Answer query={useExplanation(question)} what="explanation">
      {(found) => (
        <>
          <p className="verdict">{found.verdict.sentence}</p>
          <p className="explained-expr">
            <code>{found.rule.expr}</code>
          </p>
          {found.series.length === 0 ? (
            <Empty title="No series.">
              The expression had no result on this host from {dateAndClock(found.since)} to{" "}
              {dateAndClock(found.at)}.
            </Empty>
          ) : (
            found.series.map((series) => (
              <Track key={JSON.stringify(series.labels)} series={series} explanation={found} />
            ))
          )}
          <Events events={found.events} />
        </>
      )}
    </Answer>
  );
}

function Events({ events }: { events: Explanation["events"] }) {
  if (events.length === 0) return null;
  return (
    <section aria-labelledby="published">
      <h2 id="published">What was published</h2>
      <ul className="explain-events">
        {events.map((event) => (
          <li key={`${event.time} ${event.transition}`}>
            <time dateTime={event.time}>{dateAndClock(event.time)}</time>
            <span>
              {event.status === "resolved" ? "Resolved" : `Firing ${event.severity}`}:{" "}
              {reasonText(event.reason)}
              {event.paged === false && ", nobody was told"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
