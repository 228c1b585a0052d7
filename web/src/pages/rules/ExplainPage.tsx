import { usePlace } from "../../app/usePlace";
import { Empty } from "../../parts/Empty";
import { useTitle } from "../../parts/useTitle";
import { Explained } from "./Explained";
import { ExplainForm } from "./ExplainForm";
import "./rules.css";

/** Why a rule fires on a host, or what holds it back: the host, the time and the span are in the address. */
export function ExplainPage({ rule }: { rule: string }) {
  const { search } = usePlace();
  const [host, at, before] = [search.get("host") ?? "", search.get("at") ?? "", search.get("before") ?? "1h"];
  useTitle(host === "" ? rule : `${rule} on ${host}`);
  return (
    <>
      <p className="crumb">
        <a href="#/rules">Rules</a>
      </p>
      <h1>{host === "" ? rule : `${rule} on ${host}`}</h1>
      <ExplainForm key={`${host} ${at}`} host={host} at={at} before={before} />
      {host === "" ? (
        <Empty title="Which host?">Name one to see why the rule fires there, or what holds it back.</Empty>
      ) : (
        <Explained question={{ rule, host, at, before }} />
      )}
    </>
  );
}
