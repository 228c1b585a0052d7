import { count } from "../../format/number";
import type { Slice } from "./ordering";

interface Props {
  slice: Slice<unknown>;
  total: number;
  onPage: (page: number) => void;
}

/** Which rows of how many; nothing while one page holds them all. */
export function Pages({ slice, total, onPage }: Props) {
  if (slice.pages === 1) return null;
  return (
    <nav className="pages" aria-label="Pages of hosts">
      <button type="button" disabled={slice.page === 1} onClick={() => onPage(slice.page - 1)}>
        Previous
      </button>
      <span aria-live="polite">
        {count(slice.first)} to {count(slice.first + slice.rows.length - 1)} of {count(total)}
      </span>
      <button type="button" disabled={slice.page === slice.pages} onClick={() => onPage(slice.page + 1)}>
        Next
      </button>
    </nav>
  );
}
