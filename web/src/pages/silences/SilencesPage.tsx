import { useState } from "react";
import type { Silence } from "../../api/client";
import { useSilences } from "../../api/silences";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import { useTitle } from "../../parts/useTitle";
import { PlanDialog } from "./PlanDialog";
import { SilenceRow } from "./SilenceRow";
import "../../parts/list.css";
import "./silences.css";

/** What is kept quiet now or will be, and what was: who, why, until when. */
export function SilencesPage() {
  useTitle("Silences");
  const [planned, setPlanned] = useState<"silence" | "maintenance" | null>(null);
  return (
    <>
      <div className="title">
        <h1>Silences</h1>
        <button type="button" onClick={() => setPlanned("silence")}>
          New silence
        </button>
        <button type="button" onClick={() => setPlanned("maintenance")}>
          Plan maintenance
        </button>
      </div>
      {planned !== null && <PlanDialog planned={{ kind: planned }} onClose={() => setPlanned(null)} />}
      <Answer query={useSilences()} what="silences">
        {({ silences, now }) => {
          const over = silences.filter(({ state }) => state === "expired");
          const live = silences.filter(({ state }) => state !== "expired");
          return (
            <>
              {live.length === 0 ? (
                <Empty title="Nothing is silenced.">
                  An alert that fires can be acknowledged or silenced on <a href="#/alerts">its page</a>.
                </Empty>
              ) : (
                <Rows label="Silences in force" silences={live} now={now} />
              )}
              {over.length > 0 && (
                <section aria-labelledby="over">
                  <h2 id="over">Over</h2>
                  <Rows label="Silences that are over" silences={over} now={now} />
                </section>
              )}
            </>
          );
        }}
      </Answer>
    </>
  );
}

function Rows({ label, silences, now }: { label: string; silences: Silence[]; now: string }) {
  return (
    <ul className="list" aria-label={label}>
      {silences.map((silence) => (
        <SilenceRow key={silence.id} silence={silence} now={now} />
      ))}
    </ul>
  );
}
