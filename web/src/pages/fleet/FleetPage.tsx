import { useDeferredValue, useMemo } from "react";
import type { HostList } from "../../api/client";
import { useHosts } from "../../api/queries";
import { usePlace, useSetSearch } from "../../app/usePlace";
import { Answer } from "../../parts/Answer";
import { Empty } from "../../parts/Empty";
import { useTitle } from "../../parts/useTitle";
import { FleetFilter } from "./FleetFilter";
import { FleetSummary } from "./FleetSummary";
import { FleetTable } from "./FleetTable";
import { parseFilter, parseOrder, select, slice, sort } from "./ordering";
import { Pages } from "./Pages";
import "./fleet.css";

const PAGE_SIZE = 100;

/** Every host in one table; what is searched, sorted and shown is in the address. */
export function FleetPage() {
  useTitle("Fleet");
  const query = useHosts();
  return (
    <>
      <h1>Fleet</h1>
      <Answer query={query} what="hosts">
        {(list) => (list.total === 0 ? <NoHosts /> : <Fleet list={list} />)}
      </Answer>
    </>
  );
}

function Fleet({ list }: { list: HostList }) {
  const { search } = usePlace();
  const setSearch = useSetSearch();
  const text = search.get("q") ?? "";
  const wanted = useDeferredValue(text);
  const filter = parseFilter(search.get("show"));
  const sorting = search.get("sort");
  const order = useMemo(() => parseOrder(sorting), [sorting]);
  const found = useMemo(() => select(list.hosts, wanted, filter), [list.hosts, wanted, filter]);
  const ordered = useMemo(() => sort(found, order), [found, order]);
  const page = slice(ordered, Number(search.get("page") ?? 1), PAGE_SIZE);

  return (
    <>
      <FleetSummary list={list} />
      <FleetFilter text={text} filter={filter} found={found.length} onChange={setSearch} />
      {found.length === 0 ? (
        <Empty title="No host fits the search.">
          <button type="button" onClick={() => setSearch({ q: "", show: "", page: "" })}>
            Show all hosts
          </button>
        </Empty>
      ) : (
        <>
          <FleetTable
            hosts={page.rows}
            now={list.now}
            order={order}
            onOrder={(sort) => setSearch({ sort, page: "" })}
          />
          <Pages slice={page} total={found.length} onPage={(number) => setSearch({ page: String(number) })} />
        </>
      )}
    </>
  );
}

function NoHosts() {
  return (
    <Empty title="No host has sent a sample yet.">
      Start an agent with <code>fleetpulse agent</code>, or a simulated fleet with{" "}
      <code>fleetpulse simulate --hosts 20</code>. Hosts appear here within seconds.
    </Empty>
  );
}
