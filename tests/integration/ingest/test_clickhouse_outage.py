"""ClickHouse is away for half a minute: everything is delayed, nothing is lost or twice, and alerts fire meanwhile."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from tests.support.alerting import alert_events
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import PastMinute, ask, ingest_env, past_minute, rollups, rollups_equal_raw
from tests.support.patience import patient
from tests.support.running import Running, running
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers

AWAY_SECONDS = 30.0
TICK_SECONDS = 0.5
HOSTS = [f"h{number}" for number in range(8)]
HOT = "h3"
SERIES = 3  # of each host, the recorded one included
RULES = """
groups:
  - name: test
    rules:
      - record: host:temperature:doubled
        expr: temperature * 2
      - alert: Hot
        expr: temperature
        critical: "> 90"
"""


class Fleet:
    """Samples of all hosts, half a second of event time a tick, sent half a second apart; all within one minute."""

    def __init__(self, topics: KafkaSettings, start_ms: int) -> None:
        self.ticks = 0
        self.hot = False
        self._start_ms = start_ms
        self._frames = FrameSender(topics)

    @property
    def samples(self) -> int:
        """How many must be there in the end, with what rules record."""
        return len(HOSTS) * SERIES * self.ticks

    def send(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            at_ms = self._start_ms + 500 * self.ticks
            for number, host in enumerate(HOSTS):
                temperature = 95.0 if self.hot and host == HOT else 40.0 + number
                # The counter is reset every 13 ticks.
                values = {"requests_total": float(self.ticks % 13 * (number + 1)), "temperature": temperature}
                self._frames.send(self._frames.block(host, at_ms, values))
            self._frames.flush()
            self.ticks += 1
            assert self.ticks <= 120, "the minute is full"
            time.sleep(TICK_SECONDS)

    def close(self) -> None:
        self._frames.close()


@dataclass(frozen=True)
class Pipeline:
    """The workers of one set of topics and one database."""

    env: dict[str, str]
    folder: Path
    minute: PastMinute

    @property
    def url(self) -> str:
        return self.env["FLEETPULSE_CLICKHOUSE_URL"]

    @contextmanager
    def running(self) -> Iterator[list[Running]]:
        with ExitStack() as stack:
            yield [stack.enter_context(running(name, self.env, self.folder)) for name in ("ingest", "rules", "history")]


@pytest.fixture
def pipeline(topics: KafkaSettings, own_clickhouse: ClickHouseServer, tmp_path: Path) -> Pipeline:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    url = fresh_database(own_clickhouse.url).url
    minute = past_minute(30)  # so that it closes while ClickHouse is away
    env = ingest_env(topics, url, minute.lateness_seconds) | {"FLEETPULSE_RULES_FILES": str(rules)}
    return Pipeline(env, tmp_path, minute)


def test_clickhouse_away_for_half_a_minute_delays_and_loses_nothing_and_an_alert_fires_meanwhile(
    topics: KafkaSettings, own_clickhouse: ClickHouseServer, pipeline: Pipeline
) -> None:
    server, fleet = own_clickhouse.server, Fleet(topics, pipeline.minute.start_ms)

    def all_are_there() -> bool:
        found = ask(pipeline.url, "SELECT (count(), uniqExact(id, timestamp)) FROM metrics")
        assert found == (fleet.samples, fleet.samples)
        return True

    with pipeline.running() as workers:
        fleet.send(2)
        eventually(all_are_there, 60)

        server.stop()
        gone_at = time.monotonic()
        fleet.send(10)
        fleet.hot = True
        fleet.send(2)
        [event] = eventually(lambda: alert_events(topics), 20)
        assert server.child.exit_code() is not None, "ClickHouse is still away"
        assert (event.data.host, event.data.status, event.data.value) == (HOT, "firing", "95")
        fleet.send(AWAY_SECONDS - (time.monotonic() - gone_at))
        assert time.monotonic() - gone_at >= AWAY_SECONDS
        server.start()
        fleet.send(2)

        eventually(all_are_there, 60)
        history = "SELECT groupArray((episode, transition, status)) FROM alert_history"
        assert eventually(lambda: ask(pipeline.url, history), 60) == [(event.data.episode, 1, "firing")]

        server.kill()
        fleet.send(2)
        stop_within(workers, 10.0)
    server.start()
    fleet.close()
    with pipeline.running():
        eventually(all_are_there, 60)
        client = connect(pipeline.url)
        eventually(lambda: len(rollups(client)) == len(HOSTS) * SERIES and rollups_equal_raw(client), 90)
        client.disconnect()
    assert ask(pipeline.url, history) == [(event.data.episode, 1, "firing")]


def stop_within(workers: list[Running], seconds: float) -> None:
    """All get SIGTERM at once; each must end well in time, whatever is in flight."""
    begun = time.monotonic()
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait(seconds + 5) for worker in workers] == [0, 0, 0]
    assert time.monotonic() - begun < patient(seconds)
