"""The past of long windows from ClickHouse, while the stream goes on: on a thread of its own, tried again for ever.

Until it is there, rules with long windows hold what they had; all others do not notice. It waits until ingest has
stored every message that was applied when the windows began.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from fleetpulse.logs import log_fields
from fleetpulse.promql.long_windows import COARSE_MS
from fleetpulse.promql.syntax import Selector
from fleetpulse.rules.backfill import Stored
from fleetpulse.rules.needs import SPAN_MS
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.matchers import Matcher
from fleetpulse.storage.past import past_samples, past_series, stored_through
from stream_processors.own_thread import OwnThread

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0

Call = Callable[..., Awaitable[Any]]  # runs a function on the rules' thread


class WarmUp:
    """Fills partitions whose long windows lack their past, one at a time."""

    def __init__(self, url: str, topic: str, partitions: int, metrics: SelfMetrics) -> None:
        """`topic` is the name of `fleetpulse.metrics`, which has so many partitions."""
        self._url, self._topic, self._partitions, self._metrics = url, topic, partitions, metrics
        self._thread = OwnThread("warm-up")
        self._task: asyncio.Task[None] | None = None
        self._seams: dict[int, tuple[object, int]] = {}  # partition → (its windows, offset that was applied then)
        self._retry_at = 0.0

    async def look(self, partitions: Mapping[int, PartitionRules], call: Call) -> None:
        """Begin with a partition that lacks something, unless one is being filled; from time to time."""
        waiting: dict[int, PartitionRules] = {}
        for number, rules in partitions.items():
            lacks = rules.next_offset is not None and bool(await call(rules.lacks))
            if not lacks:
                self._seams.pop(number, None)
                continue
            waiting[number] = rules
            if number not in self._seams or self._seams[number][0] is not rules.windows:
                assert rules.next_offset is not None
                self._seams[number] = (rules.windows, rules.next_offset)
        self._metrics.set("fleetpulse_rules_cold_partitions", len(waiting))
        loop = asyncio.get_running_loop()
        if waiting and (self._task is None or self._task.done()) and loop.time() >= self._retry_at:
            number = min(waiting)
            self._task = asyncio.ensure_future(self._fill(number, waiting[number], call))

    async def _fill(self, number: int, rules: PartitionRules, call: Call) -> None:
        try:
            await self._fill_whole(number, rules, call)
        except _BehindError as error:
            self._put_off()
            log.info("long windows wait for ingest", extra=log_fields(partition=number, cause=str(error)))
        except CLICKHOUSE_ERRORS as error:
            self._put_off()
            cause = str(unavailable(self._url, error))
            log.warning("long windows hold until ClickHouse answers", extra=log_fields(partition=number, cause=cause))
        except Exception:
            # Whatever is stored there may not end the worker, nor be asked for every second.
            self._put_off()
            log.exception("long windows hold: their past cannot be used", extra=log_fields(partition=number))

    def _put_off(self) -> None:
        self._retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS

    async def _fill_whole(self, number: int, rules: PartitionRules, call: Call) -> None:
        windows, seam = self._seams[number]
        steps = self._steps(number, rules, await call(rules.lacks), seam)
        count = 0
        while (stored := await self._thread.call(next, steps, None)) is not None:
            if rules.windows is not windows:
                return
            count += len(stored.ts)
            await call(rules.adopt, stored)
        if rules.windows is windows:
            await call(rules.fill_back)
            log.info("long windows are warm", extra=log_fields(partition=number, samples=count))

    def _steps(self, number: int, rules: PartitionRules, lacks: list[Any], seam: int) -> Iterator[Stored]:
        client = connect(self._url)
        try:
            through = stored_through(client, self._topic, number)
            if through < seam:
                raise _BehindError(f"offset {through} is stored, {seam} is needed")
            until_ms = rules.append_ms
            for selector, reach_ms in lacks:
                after_ms = until_ms - reach_ms - SPAN_MS - 2 * COARSE_MS
                for series in past_series(client, _matchers(selector), number, self._partitions):
                    for part in past_samples(client, series, after_ms, until_ms):
                        yield Stored(series.metric, series.hosts, series.labels, part.place, part.ts, part.value)
        finally:
            with suppress(*CLICKHOUSE_ERRORS):
                client.disconnect()


class _BehindError(Exception):
    """Ingest has not stored all that the windows need."""


def _matchers(selector: Selector) -> list[Matcher]:
    return [Matcher(each.name, each.op, each.value) for each in selector.matchers]
