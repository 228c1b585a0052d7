"""An ingest worker that is killed again and again while the worst of data come: the audit agrees with what was sent."""

import random
import time
from pathlib import Path

import pytest
from clickhouse_driver import Client

from fleetpulse.wire import Block
from tests.integration.audit.conftest import Judge
from tests.support.eventually import eventually
from tests.support.numbered import NumberedSender
from tests.support.running import running

pytestmark = pytest.mark.servers

HOUR_MS = 3_600_000
START_MS = time.time_ns() // 60_000_000_000 * 60_000 - 1_800_000
HOSTS = [f"h{number}" for number in range(12)]


class Sent:
    """What was sent: frames with late samples, repeated ones, other values for a time, frames sent twice."""

    def __init__(self, sender: NumberedSender, seed: int) -> None:
        self._sender, self._chance = sender, random.Random(seed)
        self.visible: set[tuple[str, int]] = set()
        self.samples = 0
        self.resent = 0

    def some(self, tick: int) -> None:
        for host in HOSTS:
            count = self._chance.randrange(1, 6)
            now = START_MS + tick * 10_000
            stamps = [now - self._chance.choice([0, 0, 1000, 20_000, 600_000]) for _ in range(count)]
            block: Block = self._sender.block(host, stamps, [float(self._chance.randrange(5)) for _ in stamps])
            times = 2 if self._chance.random() < 0.1 else 1
            self._sender.send(block, times=times)
            self.visible.update((host, stamp) for stamp in stamps)
            self.samples += count
            self.resent += count * (times - 1)
        self._sender.flush()


def test_kills_in_the_middle_of_everything(
    sender: NumberedSender, env: dict[str, str], settled: Judge, judge: Judge, client: Client, tmp_path: Path
) -> None:
    sent = Sent(sender, 7)
    chance = random.Random(8)
    tick = 0
    for life in range(4):
        with running("ingest", env, tmp_path, log_name=f"life-{life}") as ingest:
            before = stored(client)
            for _ in range(12):
                sent.some(tick)
                tick += 1
            eventually(lambda before=before: stored(client) > before, 60, 0.02)  # type: ignore[misc]
            for _ in range(chance.randrange(4)):
                sent.some(tick)
                tick += 1
            assert judge()["code"] in (0, 2)  # in the middle of it
            ingest.kill()
    with running("ingest", env, tmp_path, log_name="last"):
        found = settled()
    assert (found["code"], found["offsets"]) == (0, []), found
    assert found["totals"]["stored"] == len(sent.visible) == stored(client)
    assert found["totals"]["sent"] == sent.samples + sent.resent
    assert found["totals"]["duplicate"] == sent.samples + sent.resent - len(sent.visible)
    assert found["resent_samples"] == sent.resent


def stored(client: Client) -> int:
    [(number,)] = client.execute("SELECT count() FROM samples FINAL")
    return int(number)
