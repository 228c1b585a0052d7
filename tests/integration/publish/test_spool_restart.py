"""The spool on Apache Kafka: what waits survives stop, kill and overflow, each frame once under its own number."""

import logging
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.partition import partition_of
from fleetpulse.publish.announce import SAID_LATER
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import HOUR_MS
from fleetpulse.wire import Block, Header, make_block, samples_in
from producers.simulator.fleet import Fleet
from tests.support.eventually import eventually
from tests.support.metrics_topic import Message, read_all
from tests.support.patience import patient
from tests.support.proxy import Proxy
from tests.support.running import running
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers

NAMES = ("samples", "restored_samples", "delivered_samples", "failed_samples", "dropped_samples")
BASE_MS = 490_000 * HOUR_MS


@pytest.fixture
def away(topics: KafkaSettings, kafka_proxy: Proxy) -> Iterator[KafkaSettings]:
    """The topics as a client reaches them through the proxy, which is healthy again afterwards."""
    yield replace(topics, bootstrap_servers=kafka_proxy.address)
    kafka_proxy.resume()


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishSettings:
    """Settings of a spool in a folder of the test's own that does not wait long."""
    monkeypatch.setattr("fleetpulse.publish.client.OPEN_TIMEOUT_MS", 1_000)
    return PublishSettings(spool_dir=str(tmp_path / "spool"), spool_after_seconds=0.2, stall_seconds=1.0)


def block(host: str, ts: int, samples: int = 50) -> Block:
    keys = "\n".join(f"metric_{n}" for n in range(samples)).encode()
    return make_block(host, {"instance": host}, keys, ts, [float(ts + n) for n in range(samples)])


def counts(metrics: SelfMetrics) -> Counter[str]:
    return Counter({name: int(metrics.get(f"fleetpulse_publish_{name}_total")) for name in NAMES})


def distinct(messages: list[Message]) -> dict[tuple[str, int], Message]:
    """By (producer id, seq); what came twice is the same frame."""
    found: dict[tuple[str, int], Message] = {}
    for message in messages:
        key = (message.headers[Header.PRODUCER], int(message.headers[Header.SEQ]))
        assert found.setdefault(key, message).frame == message.frame
    return found


def check_accounts(messages: list[Message]) -> dict[tuple[str, str], int]:
    """Per (producer id, host): numbered samples and dropped ones add up to the newest `sent`, none twice."""
    sent: Counter[tuple[str, str]] = Counter()
    came: Counter[tuple[str, str]] = Counter()
    ends: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for (producer, _), message in distinct(messages).items():
        for one in message.frame.blocks:
            who = (producer, one.host)
            sent[who] = max(sent[who], one.sent)
            came[who] += samples_in(one)
            ends[who].append((one.sent - samples_in(one), one.sent))
        for loss in message.frame.control.dropped if message.frame.control else ():
            came[producer, loss.host] += loss.samples
    assert came == sent
    for ranges in ends.values():
        ranges.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    return dict(sent)


def closed(messages: list[Message]) -> set[str]:
    return {m.headers[Header.PRODUCER] for m in messages if m.frame.control and m.frame.control.closed}


def test_a_clean_stop_without_kafka_is_continued_under_the_same_id(
    away: KafkaSettings, quick: PublishSettings, kafka_proxy: Proxy
) -> None:
    first_metrics, second_metrics = SelfMetrics(), SelfMetrics()
    wanted = partition_of("web-1", away.partitions)
    other = next(host for n in range(99) if partition_of(host := f"db-{n}", away.partitions) == wanted)
    first = Publisher(away, quick, first_metrics, process="p")
    first.send([block("web-1", BASE_MS)])
    assert first.flush(30.0)
    kafka_proxy.blackhole()
    for tick in range(1, 21):
        first.send([block("web-1", BASE_MS + tick), block(other, BASE_MS + tick)])
    assert first.close(2.0) is False
    assert counts(first_metrics)["failed_samples"] == 0
    assert list(Path(first.spool_folder).glob("*.seg"))
    kafka_proxy.resume()
    second = Publisher(away, quick, second_metrics, process="p")
    assert second.producer_id == first.producer_id
    second.send([block("web-1", BASE_MS + 100)])
    assert second.flush(30.0)
    assert second.close(5.0)
    assert not list(Path(first.spool_folder).glob("*.seg"))
    assert counts(second_metrics) == Counter({"samples": 50, "restored_samples": 2000, "delivered_samples": 2050})
    messages = read_all(away)
    assert check_accounts(messages) == {(first.producer_id, "web-1"): 1100, (first.producer_id, other): 1000}
    assert sorted(seq for _, seq in distinct(messages)) == list(range(1, 23))
    assert closed(messages) == set()


@pytest.mark.parametrize("ticks_before_the_kill", [1, 3])
def test_kill_9_while_kafka_is_away_and_a_restart(
    away: KafkaSettings, topics: KafkaSettings, tmp_path: Path, kafka_proxy: Proxy, ticks_before_the_kill: int
) -> None:
    env = kafka_env(away) | {
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        "FLEETPULSE_PUBLISH_SPOOL_AFTER_SECONDS": "0.2",
        "FLEETPULSE_PUBLISH_STALL_SECONDS": "2",
    }
    arguments = ["--hosts", "6", "--metrics", "10", "--interval", "1", "--seed", "4"]
    spool = tmp_path / "data" / "spool" / "simulator"

    def spooled() -> int:
        return sum(path.stat().st_size for path in spool.glob("*.seg"))

    with running("simulate", env, tmp_path, arguments) as simulate:
        eventually(lambda: len(read_all(topics)) >= 6)
        kafka_proxy.blackhole()
        one_tick = eventually(spooled)
        eventually(lambda: spooled() >= one_tick * ticks_before_the_kill)
        simulate.kill()
    killed = int(time.time())
    before = spooled()
    assert before
    kafka_proxy.resume()
    eventually(lambda: int(time.time()) > killed)  # the next run's tick is not the killed one's last
    with running("simulate", env, tmp_path, [*arguments, "--duration", "1"], log_name="again") as simulate:
        assert simulate.wait(60.0) == 0
    assert spooled() == 0
    messages = read_all(topics)
    sent = check_accounts(messages)
    [old] = closed(messages)
    [new] = {producer for producer, _ in sent} - {old}
    fleet = Fleet(6, 10, 4)
    values = {(one.host, one.ts): one.value for m in messages for one in m.frame.blocks}
    for host in fleet.hosts:
        name = host.common["instance"]
        ticks = {ts // 1000 for (of, ts) in values if of == name and isinstance(ts, int)}
        for tick in ticks:
            expected = fleet.block(host, tick)
            assert expected
            assert values[name, tick * 1000] == expected.value
        assert sent[old, name] >= 10 * (1 + ticks_before_the_kill)
        assert sent[new, name] == 10
        assert len(ticks) * 10 == sent[old, name] + sent[new, name]
    [last] = [m for m in messages if m.frame.control and m.frame.control.closed]
    assert int(last.headers[Header.SEQ]) >= SAID_LATER
    newest = max(m.append_ms for m in messages if m.headers[Header.PRODUCER] == old and m.frame.blocks)
    assert last.append_ms >= newest


def test_a_full_spool_drops_the_oldest_and_says_so_exactly_over_a_restart(
    away: KafkaSettings, quick: PublishSettings, kafka_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    small = replace(quick, spool_bytes=700_000, buffer_bytes=200_000)
    total: Counter[str] = Counter()
    kafka_proxy.refuse()
    hours: Counter[tuple[str, int]] = Counter()
    for run in range(3):
        metrics = SelfMetrics()
        publisher = Publisher(away, small, metrics, process="p")
        for tick in range(400):
            ts = BASE_MS + (run * 400 + tick) * 30_000
            publisher.send([block("web-1", ts, samples=200)])
            hours["web-1", ts - ts % HOUR_MS] += 200
            if tick % 50 == 0:
                time.sleep(0.1)
        assert publisher.waiting_bytes < 700_000 + 200_000
        assert publisher.close(0.5) is False
        total += counts(metrics)
    said = [record.getMessage() for record in caplog.records if "spool is full" in record.getMessage()]
    assert 1 <= len(said) <= 3
    kafka_proxy.resume()
    metrics = SelfMetrics()
    with Publisher(away, small, metrics, process="p") as publisher:
        assert publisher.flush(60.0)
    total += counts(metrics)
    assert total["samples"] == 240_000 == total["delivered_samples"] + total["dropped_samples"]
    assert total["dropped_samples"] > 100_000
    messages = read_all(away)
    assert sum(check_accounts(messages).values()) == 240_000
    for one in (one for m in distinct(messages).values() for one in m.frame.blocks):
        assert isinstance(one.ts, int)
        hours["web-1", one.ts - one.ts % HOUR_MS] -= samples_in(one)
    for loss in (loss for m in distinct(messages).values() if m.frame.control for loss in m.frame.control.dropped):
        hours[loss.host, loss.hour_ms] -= loss.samples
    assert not +hours
    assert not -hours
    newest = max(one.ts for m in messages for one in m.frame.blocks if isinstance(one.ts, int))
    assert newest == BASE_MS + 1199 * 30_000


def test_fresh_frames_are_not_held_up_by_the_backlog_which_keeps_its_order(
    away: KafkaSettings, quick: PublishSettings, kafka_proxy: Proxy
) -> None:
    metrics = SelfMetrics()
    with Publisher(away, quick, metrics, process="p") as publisher:
        publisher.send([block("web-1", BASE_MS)])
        assert publisher.flush(30.0)
        kafka_proxy.refuse()
        for tick in range(600):
            publisher.send([block("web-1", BASE_MS + tick, samples=2000)])
        eventually(lambda: not publisher.memory_bytes and publisher.spooled_bytes > 9_000_000)
        kafka_proxy.resume()
        kafka_proxy.delay(0.05)
        fresh = threading.Event()

        def live() -> None:
            while not fresh.wait(0.05):
                publisher.send([block("web-1", 2 * BASE_MS)])

        thread = threading.Thread(target=live)
        thread.start()
        try:
            assert eventually(lambda: publisher.spooled_bytes == 0, timeout=60.0)
        finally:
            fresh.set()
            thread.join()
    messages = list(distinct(read_all(away)).values())
    check_accounts(messages)
    old = [m for m in messages if m.frame.blocks and m.frame.blocks[0].ts != 2 * BASE_MS]
    assert [int(m.headers[Header.SEQ]) for m in old] == sorted(int(m.headers[Header.SEQ]) for m in old)
    backlog_ended = max(m.append_ms for m in old)
    live_ones = [m for m in messages if m not in old and m.append_ms < backlog_ended]
    late = sorted(m.append_ms - m.frame.sent_ms for m in live_ones)
    assert late
    assert late[len(late) // 2] < 1000 * patient(2.0)


def test_while_kafka_takes_everything_nothing_is_written(topics: KafkaSettings, quick: PublishSettings) -> None:
    metrics = SelfMetrics()
    patient = replace(quick, spool_after_seconds=20.0)
    with Publisher(topics, patient, metrics, process="p") as publisher:
        publisher.send([block("web-1", 0)])
        assert publisher.flush(30.0)
        folder = Path(publisher.spool_folder)

        def files() -> dict[str, int]:
            return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

        eventually(lambda: b"web-1" in (folder / "memo.json").read_bytes())
        before = files()
        for tick in range(200):
            publisher.send([block("web-1", tick)])
        assert publisher.flush(30.0)
        assert files() == before
    assert counts(metrics) == Counter({"samples": 10_050, "delivered_samples": 10_050})
    assert metrics.get("fleetpulse_publish_spooled_samples_total") == 0


def test_a_second_process_is_refused_by_name_or_gets_a_folder_of_its_own(
    topics: KafkaSettings, quick: PublishSettings
) -> None:
    with Publisher(topics, quick, SelfMetrics(), process="p", several=True) as first:
        with pytest.raises(
            SettingsError, match=rf"{first.spool_folder} is in use by the running process {os.getpid()}"
        ):
            Publisher(topics, quick, SelfMetrics(), process="p")
        with Publisher(topics, quick, SelfMetrics(), process="p", several=True) as second:
            assert second.spool_folder == f"{first.spool_folder}-2"
            assert second.producer_id != first.producer_id


def test_a_spool_that_cannot_be_made_is_said_once_and_all_is_sent_from_memory(
    topics: KafkaSettings, quick: PublishSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    metrics = SelfMetrics()
    with Publisher(topics, replace(quick, spool_dir=str(tmp_path / "file")), metrics, process="p") as publisher:
        publisher.send([block("web-1", 0)])
        assert publisher.flush(30.0)
    assert [r.levelno for r in caplog.records if "there is no spool" in r.getMessage()] == [logging.ERROR]
    assert counts(metrics) == Counter({"samples": 50, "delivered_samples": 50})
    assert closed(read_all(topics)) == {publisher.producer_id}
