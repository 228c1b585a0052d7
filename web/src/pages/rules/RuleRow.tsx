import type { Rule } from "../../api/client";
import { placeHref } from "../../app/location";

const STATES = { inactive: "Inactive", pending: "Pending", firing: "Firing" };

/** One rule: what it is, its state, and the reason when it is not evaluated. */
export function RuleRow({ rule }: { rule: Rule }) {
  const { name, kind, expr, state, health, lastError, waiting } = rule;
  return (
    <li className="rule">
      <div>
        {kind === "alert" ? (
          <a href={placeHref(["rules", name])}>
            <strong>{name}</strong>
          </a>
        ) : (
          <strong>{name}</strong>
        )}
        {kind === "record" && <span className="tag">recording</span>}
        {rule.owner === "api" && <span className="tag">API</span>}
        <p>
          <code>{expr}</code>
        </p>
        {waiting !== null && <p className="rule-problem">Waits for the ruler: {waiting}</p>}
        {waiting === null && lastError !== "" && <p className="rule-problem">Not evaluated: {lastError}</p>}
      </div>
      <p className={`rule-state rule-${state ?? "none"}`}>
        {waiting !== null ? "Waits" : health === "err" ? "Error" : state === null ? "Records" : STATES[state]}
      </p>
    </li>
  );
}
