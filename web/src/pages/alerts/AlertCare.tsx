import type { AlertEvent } from "../../api/client";
import { useSilences } from "../../api/silences";
import { quietedBy } from "../../parts/silence";
import { AlertActions } from "./AlertActions";
import { Quieted } from "./Quieted";

/** Who takes care of an alert, and what can be done about it; the alerts are shown whether or not this is known. */
export function AlertCare({ event }: { event: AlertEvent }) {
  const { data } = useSilences();
  const quieted = data === undefined ? [] : quietedBy(event, data.silences);
  return (
    <>
      {data !== undefined && <Quieted silences={quieted} now={data.now} />}
      <AlertActions event={event} acknowledged={quieted.some(({ kind }) => kind === "acknowledgement")} />
    </>
  );
}
