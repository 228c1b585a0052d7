import type { Silence } from "../../api/client";
import { Moment } from "../../parts/Moment";

const SAID: Readonly<Record<Silence["kind"], string>> = {
  acknowledgement: "Acknowledged by",
  silence: "Silenced by",
  maintenance: "In maintenance, by",
};

/** Who keeps an alert quiet, why and until when. */
export function Quieted({ silences, now }: { silences: readonly Silence[]; now: string }) {
  return silences.map((silence) => (
    <p key={silence.id} className="quieted">
      {SAID[silence.kind]} <strong>{silence.createdBy}</strong>, ends <Moment at={silence.endsAt} now={now} />
      : {silence.comment}
    </p>
  ));
}
