"""What makes the tables cheaper in CPU and bytes, where the server knows it: after the migrations, at every start.

Unlike a migration it is not the same everywhere: a server that is too old for a setting or a codec goes without.
Nothing here changes what a query answers. Every statement is metadata only, safe to repeat, and left out when it is
done; parts that are there keep what they were written with until they are merged.

The figures, and what did not help, are in docs/benchmarks.md.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse.logs import log_fields
from fleetpulse.storage import tables

log = logging.getLogger(__name__)

# Unknown setting, unknown codec, a codec that the server thinks too young; no right to ALTER; another process alters
# the same table right now (replicated tables).
_GOES_WITHOUT = frozenset({115, 432, 36, 497, 517})
_DECIMAL, _PLAIN = "ALP, ZSTD(1)", "ZSTD(3)"
# The minutes' sums and increases have rounding errors in them, which are no decimals.
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    tables.SAMPLES: ("value",),
    tables.SAMPLES_1M: ("min", "max", "first", "last"),
}


class Change(NamedTuple):
    """`ALTER TABLE table` `alter`, unless its definition holds `wanted` already."""

    table: str
    alter: str
    wanted: str
    settings: Mapping[str, Any] = {}


def tune(client: Client, *, decimals: bool) -> list[str]:
    """Make every change that is not made, that the server knows and lets us make; the tables that were changed.

    `decimals`: numbers are packed as decimals. Raises ServerException for anything else that the server refuses.
    """
    changed = []
    for change in _changes(decimals):
        [(definition,)] = client.execute(f"SHOW CREATE TABLE {change.table}")
        if re.search(change.wanted, definition):
            continue
        try:
            client.execute(f"ALTER TABLE {change.table} {change.alter}", settings=dict(change.settings))
            changed.append(change.table)
        except ServerException as error:
            if error.code not in _GOES_WITHOUT:
                raise
            cause = str(error.message).partition("Stack trace")[0].strip()
            log.info("ClickHouse goes without", extra=log_fields(table=change.table, alter=change.alter, cause=cause))
    return changed


def _changes(decimals: bool) -> list[Change]:
    # Of every column of every part, which nothing asks for: a tenth of the CPU of a merge.
    changes = [_setting(table, "auto_statistics_types", "''") for table in _BUSY]
    # Columns apart: eleven of them side by side were most of what merging minutes cost.
    changes.append(_setting(tables.SAMPLES_1M, "vertical_merge_algorithm_min_columns_to_activate", "5"))
    changes += [_codec(table, column, decimals) for table, columns in _NUMBERS.items() for column in columns]
    # The tags follow from the key. To merge them as an aggregate took more than half of the CPU.
    changes.append(_setting(tables.SERIES, "allow_dimensions_outside_sorting_key", "1"))
    changes.append(Change(tables.SERIES, "MODIFY COLUMN tags Map(String, String)", r"`tags` Map\(String, String\)"))
    # New series come in hundreds of small inserts: fewer, wider merges.
    changes.append(_setting(tables.SERIES, "merge_selector_base", "10"))
    return changes


_BUSY = (tables.SAMPLES, tables.SAMPLES_1M, tables.SAMPLES_1H, tables.SERIES, tables.LEDGER, tables.CLEAN_MARKS)


def _setting(table: str, name: str, value: str) -> Change:
    return Change(table, f"MODIFY SETTING {name} = {value}", rf"\b{name} = {re.escape(value)}(,|\s|$)")


def _codec(table: str, column: str, decimals: bool) -> Change:
    codec = _DECIMAL if decimals else _PLAIN
    wanted = rf"`{column}` Float64 CODEC\({re.escape(codec)}\)"
    settings = {"enable_alp_codec": 1} if decimals else {}
    return Change(table, f"MODIFY COLUMN {column} Float64 CODEC({codec})", wanted, settings)
