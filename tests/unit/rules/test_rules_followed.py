"""The reader of `fleetpulse.rules`: a change of several records takes effect as a whole, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.published import MORE, Authority, PublishedGroup, encode_authority, encode_group
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from stream_processors.rules import rules_topic

Record = tuple[str, bytes | None, bool]  # key, value, whether more of the change follows


def _group(name: str) -> Record:
    text = f"groups: [{{name: {name}, rules: [{{alert: Of{name}, expr: 'up == 0'}}]}}]"
    group = PublishedGroup(name=name, owner="api", file="", version=1, text=text, author="me", changed_ms=0)
    return name, encode_group(group), False


AUTHORITY: Record = ("", encode_authority(Authority("db")), False)


class _Consumer:
    """Gives the records one by one, as Kafka might."""

    def __init__(self, records: Sequence[Record], end: int) -> None:
        self._records, self._end = list(records), end
        self._next = 0

    async def end_offsets(self, partitions: Sequence[object]) -> dict[object, int]:
        return dict.fromkeys(partitions, self._end)

    async def position(self, partition: object) -> int:
        return self._next

    async def getmany(self, partition: object, timeout_ms: int) -> dict[object, list[SimpleNamespace]]:
        await asyncio.sleep(0)
        if self._next == len(self._records):
            return {}
        key, value, more = self._records[self._next]
        self._next += 1
        headers = (MORE,) if more else ()
        return {partition: [SimpleNamespace(offset=self._next - 1, headers=headers, key=key.encode(), value=value)]}


class _Topic(rules_topic.RulesTopic):
    def __init__(self, records: Sequence[Record], end: int) -> None:
        super().__init__(KafkaSettings(), SelfMetrics())
        self.consumer = _Consumer(records, end)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        yield self.consumer


def _names(rules: RuleSet) -> list[str]:
    return [rule.name for rule in rules.rules]


def test_the_start_waits_for_the_rest_of_a_change() -> None:
    topic = _Topic([AUTHORITY, _group("a"), ("a", None, True), _group("b")], end=3)
    asyncio.run(topic.read_to_end())
    assert _names(topic.book.rule_set()) == ["Ofb"]


def test_half_of_a_change_is_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_topic, "UNFINISHED_SECONDS", 0.0)
    topic = _Topic([AUTHORITY, _group("a"), ("a", None, True)], end=3)
    asyncio.run(topic.read_to_end())
    assert _names(topic.book.rule_set()) == ["Ofa"]


def test_a_change_is_followed_as_a_whole() -> None:
    topic = _Topic([AUTHORITY, (*_group("a")[:2], True), _group("b"), ("a", None, True)], end=0)
    taken: list[RuleSet] = []

    async def take(rules: RuleSet) -> None:
        taken.append(rules)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(topic.follow(take), 30))
    assert [_names(rules) for rules in taken] == [["Ofa", "Ofb"]]
