import type { RuleGroup } from "../../api/client";
import { useRules } from "../../api/rules";
import { counted } from "../../format/number";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import { useTitle } from "../../parts/useTitle";
import { RuleRow } from "./RuleRow";
import "../../parts/list.css";
import "./rules.css";

/** The rules in force by group: their states, and why one is not evaluated. */
export function RulesPage() {
  useTitle("Rules");
  return (
    <>
      <h1>Rules</h1>
      <Answer query={useRules()} what="rules">
        {({ groups }) =>
          groups.length === 0 ? (
            <Empty title="No rule is in force.">
              <code>fleetpulse rules apply FILE</code> applies a Prometheus rule file.
            </Empty>
          ) : (
            groups.map((group) => <Group key={group.name} group={group} />)
          )
        }
      </Answer>
    </>
  );
}

function Group({ group }: { group: RuleGroup }) {
  const id = `group-${group.name}`;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{group.name}</h2>
      <p className="group-about">
        {counted(group.rules.length, "rule")},{" "}
        {group.owner === "file" ? <>of the file {group.file}</> : "made through the API"}, version{" "}
        {group.version} by {group.author}
      </p>
      <ul className="list" aria-label={`Rules of ${group.name}`}>
        {group.rules.map((rule, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a name may be there twice, and their order is theirs
          <RuleRow key={`${rule.name} ${place}`} rule={rule} />
        ))}
      </ul>
    </section>
  );
}
