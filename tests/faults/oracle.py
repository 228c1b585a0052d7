"""The oracle: what the public views show of some hosts, compared with the generator."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from clickhouse_driver import Client

from tests.faults.expected import HOUR_MS, KEY_SHIFT, MINUTE_MS, Expected, Rollup, Samples
from tests.faults.verdict import EXAMPLES, Verdict

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Oracle:
    """Looks at one scenario's hosts, as user `grafana` or any other that may read the views."""

    client: Client
    expected: Expected

    def look(self, hours_before_ms: int = 0) -> Verdict:
        """Compare now: raw samples, one-minute rollups, and one-hour rollups of the hours that ended before a time."""
        verdict = Verdict(sent=len(self.expected))
        places = self._places(verdict)
        self._compare_raw(places, verdict)
        self._compare_rollups("metrics_1m", MINUTE_MS, places, verdict)
        if hours_before_ms:
            self._compare_rollups("metrics_1h", HOUR_MS, places, verdict, hours_before_ms)
        return verdict

    def stored(self) -> int:
        """How many samples of the hosts are visible."""
        [(count,)] = self.client.execute(f"SELECT count() FROM metrics WHERE {self._mine}")
        return int(count)

    def missing(self) -> list[int]:
        """Keys (`Samples.key`) of what is not visible, ascending."""
        found = self._raw(self._places(Verdict()))
        keys: list[int] = np.setdiff1d(self.expected.samples().key, found.key).tolist()
        return keys

    def rows(self) -> int:
        """How many raw rows lie in the table, copies included; needs a user that may read it."""
        [(count,)] = self.client.execute(
            f"SELECT count() FROM samples WHERE id IN (SELECT id FROM series WHERE {self._mine})"
        )
        return int(count)

    @property
    def _mine(self) -> str:
        return f"startsWith(host, '{self.expected.hosts.prefix}-')"

    def _places(self, verdict: Verdict) -> dict[int, int]:
        """Stored id → place of the series, by the names that the view `series` shows."""
        hosts = {name: number for number, name in enumerate(self.expected.hosts.names)}
        series = {_key(name, labels): number for number, (name, labels) in enumerate(self.expected.hosts.keys)}
        places: dict[int, int] = {}
        strange = []
        for series_id, host, metric, labels in self.client.execute(
            f"SELECT id, host, metric, labels FROM series WHERE {self._mine}"
        ):
            own = {name: value for name, value in labels.items() if name not in ("instance", "job")}
            number, key = hosts.get(host), series.get(_key(metric, own))
            if number is None or key is None:
                strange.append(f"{metric} {labels} of {host} was never sent")
            else:
                places[series_id] = number * self.expected.hosts.series + key
        verdict.note("series", strange)
        return places

    def _compare_raw(self, places: Mapping[int, int], verdict: Verdict) -> None:
        found = self._raw(places)
        wanted = self.expected.samples()
        verdict.stored = len(found.key)
        once, counts = np.unique(found.key, return_counts=True)
        verdict.twice = int((counts - 1).sum())
        missing = np.setdiff1d(wanted.key, once)
        extra = np.setdiff1d(once, wanted.key)
        common = np.isin(found.key, wanted.key)
        at = np.searchsorted(wanted.key, found.key[common])
        unequal = found.key[common][wanted.bits[at] != found.bits[common]]
        verdict.missing = len(missing)
        verdict.wrong = len(extra) + len(unequal)
        for kind, keys in (
            ("missing", missing), ("visible twice", once[counts > 1]), ("never sent", extra), ("wrong value", unequal),
        ):  # fmt: skip
            verdict.note(kind, [self._name(int(key)) for key in keys[:EXAMPLES]])

    def _raw(self, places: Mapping[int, int]) -> Samples:
        columns = self.client.execute(
            f"SELECT id, toUnixTimestamp64Milli(timestamp), reinterpretAsUInt64(value) FROM metrics WHERE {self._mine}",
            columnar=True,
        )
        if not columns:
            return Samples(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64))
        ids, times, bits = columns
        key = np.array([places.get(one, -1) for one in ids], dtype=np.int64) << KEY_SHIFT
        return Samples(key + np.array(times, dtype=np.int64), np.array(bits, dtype=np.uint64))

    def _compare_rollups(
        self, view: str, bucket_ms: int, places: Mapping[int, int], verdict: Verdict, before_ms: int = 0
    ) -> None:
        rows = self.client.execute(
            f"SELECT id, toUnixTimestamp(timestamp) * 1000, count, sum, min, max, first, last, increase FROM {view} "
            f"WHERE {self._mine}"
        )
        wanted = self.expected.rollups(bucket_ms)
        found: dict[tuple[int, int], Sequence[float]] = {}
        unequal: dict[tuple[int, int], str] = {}
        for series_id, start, *columns in rows:
            bucket = (places.get(series_id, -1), int(start))
            if bucket in found:
                unequal[bucket] = "is there twice"
            found[bucket] = columns
        for bucket in wanted.keys() | found.keys():
            if before_ms and bucket[1] + bucket_ms > before_ms:
                continue
            if bucket not in found:
                unequal[bucket] = "is not there"
            elif bucket not in wanted:
                unequal[bucket] = "nothing was sent"
            elif difference := _difference(wanted[bucket], found[bucket]):
                unequal[bucket] = difference
        verdict.rollups += len(unequal)
        verdict.note(view, [f"{self._name((p << KEY_SHIFT) + ms)} {text}" for (p, ms), text in sorted(unequal.items())])

    def _name(self, key: int) -> str:
        place, ts = key >> KEY_SHIFT, key & ((1 << KEY_SHIFT) - 1)
        if place < 0:
            return f"an unknown series at {ts}"
        host, series = divmod(place, self.expected.hosts.series)
        return f"{self.expected.hosts.names[host]} series {series} at {ts}"


def _difference(wanted: Rollup, found: Sequence[float]) -> str:
    names = Rollup._fields[: len(found)]
    for name, one, other in zip(names, wanted, found, strict=False):
        if math.isnan(one) and math.isnan(other):
            continue
        if name in ("sum", "increase"):
            if not math.isclose(one, other, rel_tol=0.0, abs_tol=SUM_TOLERANCE * wanted.size) and one != other:
                return f"{name} is {other!r}, not {one!r}"
        elif one != other:
            return f"{name} is {other!r}, not {one!r}"
    return ""


def _key(metric: str, labels: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    return metric, tuple(sorted(labels.items()))
