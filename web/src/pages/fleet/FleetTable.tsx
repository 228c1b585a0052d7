import type { Host } from "../../api/client";
import { Icon } from "../../parts/Icon";
import { COLUMNS, type Column } from "./columns";
import { HostRow } from "./HostRow";
import { formatOrder, nextOrder, type Order } from "./ordering";

interface Props {
  hosts: Host[];
  now: string;
  order: Order;
  onOrder: (order: string) => void;
}

export function FleetTable({ hosts, now, order, onOrder }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reachable by keyboard
    <section className="scroll" tabIndex={0} aria-label="Hosts, scrolls sideways">
      <table className="fleet">
        <thead>
          <tr>
            {COLUMNS.map((column) => (
              <Heading key={column.id} column={column} order={order} onOrder={onOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          {hosts.map((host) => (
            <HostRow key={host.host} host={host} now={now} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Heading({ column, order, onOrder }: { column: Column } & Pick<Props, "order" | "onOrder">) {
  const sorted = order.column === column.id ? (order.descending ? "descending" : "ascending") : undefined;
  return (
    <th scope="col" aria-sort={sorted} className={`column-${column.id}${column.numeric ? " numeric" : ""}`}>
      <button
        type="button"
        title={column.about}
        onClick={() => onOrder(formatOrder(nextOrder(order, column)))}
      >
        {column.title}
        <span className="direction">{sorted !== undefined && <Icon name={sorted} />}</span>
      </button>
    </th>
  );
}
