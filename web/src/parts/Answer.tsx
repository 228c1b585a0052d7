import type { UseInfiniteQueryResult, UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { RequestError } from "../api/client";
import { hostHref } from "../app/location";
import { clock } from "../format/time";

type Query<T> = UseQueryResult<T> | UseInfiniteQueryResult<T>;

interface Props<T> {
  query: Query<T>;
  what: string;
  children: (data: T) => ReactNode;
}

/** What a query has to show: loading, its error, or its data, and then also that they could not be refreshed. */
export function Answer<T>({ query, what, children }: Props<T>) {
  if (query.data === undefined) {
    return query.isError ? <Failure what={what} query={query} /> : <Loading what={what} />;
  }
  return (
    <>
      {query.isError && <NotRefreshed what={what} query={query} />}
      {children(query.data)}
    </>
  );
}

function Loading({ what }: { what: string }) {
  return (
    <div className="loading" role="status">
      <span className="visually-hidden">Loading {what}…</span>
      <span className="skeleton" />
      <span className="skeleton" />
      <span className="skeleton" />
    </div>
  );
}

function Failure<T>({ what, query }: { what: string; query: Query<T> }) {
  const nearest = query.error instanceof RequestError ? query.error.nearest : [];
  return (
    <div className="notice failure" role="alert">
      <p>
        <strong>No {what}.</strong> {query.error?.message}
      </p>
      {nearest.length > 0 && (
        <ul className="inline">
          {nearest.map((host) => (
            <li key={host}>
              <a href={hostHref(host)}>{host}</a>
            </li>
          ))}
        </ul>
      )}
      <Retry query={query} />
    </div>
  );
}

function NotRefreshed<T>({ what, query }: { what: string; query: Query<T> }) {
  return (
    <div className="notice stale" role="alert">
      <p>
        <strong>
          The {what} below are of {clock(query.dataUpdatedAt)}.
        </strong>{" "}
        {query.error?.message}
      </p>
      <Retry query={query} />
    </div>
  );
}

function Retry<T>({ query }: { query: Query<T> }) {
  return (
    <button type="button" onClick={() => void query.refetch()} disabled={query.isFetching}>
      {query.isFetching ? "Trying…" : "Try again"}
    </button>
  );
}
