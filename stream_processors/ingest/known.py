"""Which of a chunk's samples are not new: repeated within the windows, or in the raw table already.

The table is asked before a batch is inserted, and only about the samples in doubt.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.columns import Part, SampleColumns, flat
from fleetpulse.storage.native import query_with_arrays
from fleetpulse.windows.engine import Applied
from fleetpulse.windows.registry import Int32Array, Int64Array, Registry, UInt64Array
from stream_processors.ingest.accounts import HOUR_MS, Accounts

BoolArray = npt.NDArray[np.bool_]

# By the set of (id, time) the primary key finds the granules; the range of times leaves other days' parts out.
_QUERY = f"""
SELECT place FROM pairs WHERE (id, timestamp) IN
(
    SELECT id, timestamp FROM {tables.SAMPLES}
    WHERE timestamp >= fromUnixTimestamp64Milli(toInt64({{first}}))
      AND timestamp <= fromUnixTimestamp64Milli(toInt64({{last}}))
      AND (id, timestamp) IN (SELECT id, timestamp FROM pairs)
)
"""
_TYPES = {"place": "UInt64", "id": "UInt64", "timestamp": "DateTime64(3, 'UTC')"}


class Uncertain(NamedTuple):
    """A chunk's samples that may not be new, each with the place of its host in `hosts`.

    `repeated_hosts` and `repeated_ts` are of those that certainly are not. `doubtful` are to be looked up in the
    table, and in `earlier`, which is in the same batch and not in the table yet.
    """

    accounts: Accounts
    hosts: Sequence[str]
    repeated_hosts: Int32Array
    repeated_ts: Int64Array
    doubtful_hosts: Int32Array
    doubtful: SampleColumns
    earlier: Sequence[Part]


def uncertain(
    accounts: Accounts,
    registry: Registry,
    parts: Sequence[Part],
    applied: Applied,
    earlier: Sequence[Part],
) -> Uncertain | None:
    """What `applied` says may not be new of the rows of `parts`; None when everything is."""
    if not len(applied.repeated) and not len(applied.doubtful):
        return None
    samples = flat(parts)
    repeated, doubtful = samples.pick(applied.repeated), samples.pick(applied.doubtful)
    hosts = _host_places(registry, np.concatenate((repeated.id, doubtful.id)))
    split = len(repeated.id)
    return Uncertain(accounts, registry.hosts, hosts[:split], repeated.ts, hosts[split:], doubtful, earlier)


def _host_places(registry: Registry, ids: UInt64Array) -> Int32Array:
    by_id = np.argsort(registry.ids)
    return registry.host_places[by_id[np.searchsorted(registry.ids[by_id], ids)]]


def settle(parts: Sequence[Uncertain], find_stored: Callable[[SampleColumns], BoolArray]) -> None:
    """Enter what is known already in the chunks' accounts; `find_stored` is asked at most once."""
    asked = [part.doubtful for part in parts if len(part.doubtful.id)]
    stored = find_stored(SampleColumns(*map(np.concatenate, zip(*asked, strict=True)))) if asked else _NONE
    for part in parts:
        _count(part, part.repeated_hosts, part.repeated_ts, found=False)
        number = len(part.doubtful.id)
        found, stored = stored[:number], stored[number:]
        if number:
            sure = np.zeros(number, dtype=np.bool_)
            for samples in part.earlier:
                sure |= among(part.doubtful, flat([samples]))
            _count(part, part.doubtful_hosts[sure], part.doubtful.ts[sure], found=False)
            unsure = found & ~sure
            _count(part, part.doubtful_hosts[unsure], part.doubtful.ts[unsure], found=True)


_NONE: BoolArray = np.empty(0, dtype=np.bool_)


def _count(part: Uncertain, hosts: Int32Array, ts: Int64Array, *, found: bool) -> None:
    if not len(hosts):
        return
    hours = ts // HOUR_MS
    keys, counts = np.unique(hosts.astype(np.int64) * (1 << 32) + hours, return_counts=True)
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        part.accounts.know(part.hosts[key >> 32], key & 0xFFFFFFFF, count, count if found else 0)


def find(client: Client, samples: SampleColumns) -> BoolArray:
    """bool[n]: whether the table has a sample of the same series and time."""
    found = np.zeros(len(samples.id), dtype=np.bool_)
    if len(found):
        query = _QUERY.format(first=int(samples.ts.min()), last=int(samples.ts.max()))
        places = np.arange(len(found), dtype=np.uint64)
        columns = query_with_arrays(client, query, "pairs", _TYPES, [places, samples.id, samples.ts])
        if columns:
            found[np.array(columns[0], dtype=np.int64)] = True
    return found


def among(samples: SampleColumns, others: SampleColumns) -> BoolArray:
    """bool[n]: whether `others` has a sample of the same series and time."""
    split = len(others.id)
    ids, ts = np.concatenate((others.id, samples.id)), np.concatenate((others.ts, samples.ts))
    order = np.lexsort((ts, ids))  # stable: of equal ones, `others` come first
    ids, ts = ids[order], ts[order]
    starts = np.concatenate(([True], (ids[1:] != ids[:-1]) | (ts[1:] != ts[:-1])))
    first_of_group = order[starts][np.cumsum(starts) - 1]
    found = np.empty(len(order), dtype=np.bool_)
    found[order] = first_of_group < split
    return found[split:]
