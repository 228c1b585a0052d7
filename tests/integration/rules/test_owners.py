"""Who may write for a partition: its owner, and nobody who was it before. On Apache Kafka."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.rules import transaction
from stream_processors.rules.transaction import EndedError, FencedError, Transaction
from tests.support.alerting import alert_events, messages_of, shown
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.patience import patient
from tests.support.rules_workers import rules_worker

pytestmark = pytest.mark.servers

PARTITION = 1
TAKEOVER = 60.0
FLIPS = 400
RULES = """
groups:
  - name: test
    rules:
      - alert: Hot
        expr: test_value
        warning: "> 80"
"""


def written(kafka: KafkaSettings) -> list[bytes | None]:
    return [message.value for message in messages_of(kafka, Topic.ALERTS_STATE)]


def in_turn(kafka: KafkaSettings, work: Callable[[Transaction, Transaction], Awaitable[None]]) -> None:
    """The work of a former owner and of the one after it, both opened."""

    async def run() -> None:
        old, new = Transaction(kafka, PARTITION), Transaction(kafka, PARTITION)
        await old.open()
        await new.open()
        await asyncio.wait_for(work(old, new), patient(60.0))
        await old.close()
        await new.close()

    asyncio.run(run())


def test_a_closed_transaction_writes_nothing_and_fences_nobody(topics: KafkaSettings) -> None:
    async def work(old: Transaction, new: Transaction) -> None:
        await new.write([], [(b"k", b"new")])
        await old.close()
        for reopened in (old.write([], [(b"k", b"old")]), old.open()):
            with pytest.raises(FencedError):
                await reopened
        await new.write([], [(b"k", b"newer")])

    in_turn(topics, work)
    assert written(topics) == [b"new", b"newer"]


def test_after_an_error_it_is_not_opened_again(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(old: Transaction, new: Transaction) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(transaction, "COMMIT_SECONDS", 0.0)
            with pytest.raises(EndedError, match="not committed within"):
                await old.write([], [(b"k", b"old")])
        with pytest.raises(FencedError):
            await old.write([], [(b"k", b"old")])
        await new.write([], [(b"k", b"new")])

    in_turn(topics, work)
    assert written(topics) == [b"new"]


def test_the_fenced_one_stays_fenced(topics: KafkaSettings) -> None:
    async def work(old: Transaction, new: Transaction) -> None:
        for _ in range(2):
            with pytest.raises(FencedError):
                await old.write([], [(b"k", b"old")])
        await new.write([], [(b"k", b"new")])

    in_turn(topics, work)
    assert written(topics) == [b"new"]


def test_closed_while_it_writes_it_ends_at_once(topics: KafkaSettings) -> None:
    async def work(_: Transaction, new: Transaction) -> None:
        records = [(b"k%d" % number, b"x" * 1000) for number in range(20_000)]
        writing = asyncio.ensure_future(new.write([], records))
        await asyncio.sleep(0.02)
        closing = asyncio.ensure_future(new.close())
        with pytest.raises(FencedError):
            await asyncio.wait_for(writing, patient(10.0))
        await closing

    in_turn(topics, work)
    assert written(topics) == []


class Flips:
    """One host whose alert fires and resolves with every other message."""

    def __init__(self, kafka: KafkaSettings, host: str) -> None:
        self._kafka, self._host = kafka, host
        self._start = int(time.time() * 1000)
        self._sender = FrameSender(kafka)
        self.sent = 0

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            value = 10.0 if number % 2 else 90.0
            self._sender.send(self._sender.block(self._host, self._start + 100 * number, {"test_value": value}))
        self._sender.flush()
        self.sent += count

    def check(self) -> None:
        """Every flip became one event, of its own episode for each two."""
        events = eventually(lambda: e if len(e := alert_events(self._kafka)) >= self.sent else [], TAKEOVER)
        assert max(Counter(event.id for event in events).values()) == 1
        assert shown(events) == [("firing", "threshold", 1), ("resolved", "recovered", 2)] * (self.sent // 2)

    def close(self) -> None:
        self._sender.close()


@pytest.fixture
def flips(topics: KafkaSettings) -> Iterator[Flips]:
    flips = Flips(topics, "alpha")
    yield flips
    flips.close()


def test_a_busy_zombie_neither_writes_nor_fences(topics: KafkaSettings, flips: Flips, tmp_path: Path) -> None:
    with rules_worker(topics, tmp_path / "one", RULES, RULES_FLAPPING="false") as zombie:
        flips.send(2)
        eventually(lambda: len(alert_events(topics)) == 2, TAKEOVER)
        flips.send(FLIPS)
        zombie.signal(signal.SIGSTOP)  # with a batch in hand, and messages behind it
        try:
            with rules_worker(topics, tmp_path / "two", RULES, RULES_FLAPPING="false") as heir:
                eventually(lambda: "msg=recovered" in heir.log(), TAKEOVER)
                flips.send(FLIPS)
                zombie.signal(signal.SIGCONT)
                flips.send(FLIPS)
                eventually(lambda: zombie.log().count("msg=assigned") > 1, TAKEOVER)
                flips.send(FLIPS)
                flips.check()
                assert zombie.process.poll() is None
                assert heir.process.poll() is None
                assert 'msg="recovering again"' not in heir.log(), "the zombie fenced the owner"
        finally:
            zombie.signal(signal.SIGCONT)


def test_an_owner_that_was_fenced_goes_on_where_it_was(topics: KafkaSettings, flips: Flips, tmp_path: Path) -> None:
    async def fence() -> None:
        late = Transaction(topics, partition_of("alpha", topics.partitions))
        await late.open()
        await late.close()

    with rules_worker(topics, tmp_path, RULES, RULES_FLAPPING="false") as owner:
        flips.send(2)
        flips.check()
        for _ in range(3):
            flips.send(FLIPS // 4)
            asyncio.run(fence())
            flips.send(FLIPS // 4)
            flips.check()
        assert 'msg="recovering again"' in owner.log()
        assert "messages are gone" not in owner.log()


def test_what_was_lost_and_regained_unseen_is_recovered(topics: KafkaSettings, flips: Flips, tmp_path: Path) -> None:
    with rules_worker(topics, tmp_path / "one", RULES, RULES_FLAPPING="false") as expelled:
        flips.send(2)
        flips.check()
        expelled.signal(signal.SIGSTOP)
        try:
            with rules_worker(topics, tmp_path / "two", RULES, RULES_FLAPPING="false") as heir:
                flips.send(1)
                eventually(lambda: len(alert_events(topics)) == 3, TAKEOVER)
                assert heir.stop(within=10.0) == 0
        finally:
            expelled.signal(signal.SIGCONT)
        eventually(lambda: expelled.log().count("msg=assigned") > 1, TAKEOVER)
        flips.send(1)
        flips.check()
