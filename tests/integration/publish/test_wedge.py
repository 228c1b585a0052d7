"""A broker that is away for longer than Kafka's client retries: the client is opened anew and nothing is lost."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Header, make_block
from tests.support.eventually import eventually
from tests.support.metrics_topic import read_all
from tests.support.proxy import Proxy

pytestmark = pytest.mark.servers


@pytest.fixture
def away(topics: KafkaSettings, kafka_proxy: Proxy) -> Iterator[KafkaSettings]:
    """The topics as a client reaches them through the proxy, which is healthy again afterwards."""
    yield replace(topics, bootstrap_servers=kafka_proxy.address)
    kafka_proxy.resume()


@pytest.mark.parametrize("process", ["", "p"])
def test_longer_away_than_the_delivery_timeout(
    away: KafkaSettings, kafka_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    monkeypatch.setattr("fleetpulse.publish.client.OPEN_TIMEOUT_MS", 1_000)
    metrics = SelfMetrics()
    settings = PublishSettings(delivery_timeout_seconds=1.5, spool_after_seconds=0.5, stall_seconds=3600.0)
    with Publisher(away, settings, metrics, process=process) as publisher:
        publisher.send([make_block("h", {}, b"m", 0, [0.0])])
        assert publisher.flush(30.0)
        first = publisher._sender._client
        kafka_proxy.blackhole()
        for tick in range(1, 11):
            publisher.send([make_block("h", {}, b"m", tick, [float(tick)])])
        eventually(lambda: publisher._sender._client is not first, timeout=60.0)  # its batches expired
        kafka_proxy.resume()
        assert publisher.flush(60.0)
    assert metrics.get("fleetpulse_publish_delivered_samples_total") == 11
    assert metrics.get("fleetpulse_publish_failed_samples_total") == 0
    frames = {int(m.headers[Header.SEQ]): m.frame.blocks for m in read_all(away) if m.frame.blocks}
    assert [blocks[0].ts for _, blocks in sorted(frames.items())] == list(range(11))


def test_cut_after_the_request_and_before_the_answer(away: KafkaSettings, kafka_proxy: Proxy) -> None:
    metrics = SelfMetrics()
    with Publisher(away, PublishSettings(linger_ms=0), metrics) as publisher:
        publisher.send([make_block("h", {}, b"m", 0, [0.0])])
        assert publisher.flush(30.0)
        kafka_proxy.cut_before_answer(b"fp-producer")
        for tick in range(1, 6):
            publisher.send([make_block("h", {}, b"m", tick, [float(tick)])])
        assert publisher.flush(60.0)
        assert kafka_proxy.withheld >= 1
    assert metrics.get("fleetpulse_publish_delivered_samples_total") == 6
    stamps = [m.frame.blocks[0].ts for m in read_all(away) if m.frame.blocks]
    assert stamps == list(range(6))  # Kafka knows the batch that the client repeats
