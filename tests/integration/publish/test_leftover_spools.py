"""A spool folder whose process is gone, and names that no record can hold."""

from dataclasses import replace
from pathlib import Path

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Block, make_block
from tests.support.eventually import eventually
from tests.support.metrics_topic import read_all
from tests.support.proxy import Proxy

pytestmark = pytest.mark.servers


def block(host: str, ts: int) -> Block:
    return make_block(host, {"instance": host}, b"m", ts, [float(ts)])


def test_what_a_process_left_is_sent_by_the_one_beside_it(
    topics: KafkaSettings, kafka_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetpulse.publish.client.OPEN_TIMEOUT_MS", 1_000)
    monkeypatch.setattr("fleetpulse.publish.leftover.LOOK_SECONDS", 0.2)
    quick = PublishSettings(spool_dir=str(tmp_path), spool_after_seconds=0.2, stall_seconds=1.0)
    away = replace(topics, bootstrap_servers=kafka_proxy.address)
    kafka_proxy.refuse()
    try:
        with Publisher(away, quick, SelfMetrics(), process="p", several=True) as first:
            second = Publisher(away, quick, SelfMetrics(), process="p", several=True)
            assert second.spool_folder == f"{first.spool_folder}-2"
            for ts in range(20):
                second.send([block("web-1", ts)])
            second.close(0.5)
            assert list(tmp_path.glob("p-2/*.seg"))
            kafka_proxy.resume()
            eventually(lambda: len(read_all(topics)) == 20, 60)
            eventually(lambda: not list(tmp_path.glob("p-2/*.seg")), 60)
            assert {one.ts for message in read_all(topics) for one in message.frame.blocks} == set(range(20))
    finally:
        kafka_proxy.resume()


def test_a_host_whose_name_no_record_can_hold_is_refused_and_counted(
    topics: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    endless = "ü" * 40_000
    while partition_of(endless, topics.partitions) != partition_of("web-1", topics.partitions):
        endless += "ü"
    metrics = SelfMetrics()
    with Publisher(topics, PublishSettings(), metrics) as publisher:
        assert not publisher.send([block("web-1", 1), block(endless, 1)])
        assert publisher.send([block("web-1", 2)])
        assert publisher.flush(60.0)
    assert metrics.get("fleetpulse_publish_dropped_samples_total") == 1
    assert metrics.get("fleetpulse_publish_delivered_samples_total") == 2
    assert sum("its name is too long" in record.getMessage() for record in caplog.records) == 1
    frames = [message.frame for message in read_all(topics)]
    assert {one.host for frame in frames for one in frame.blocks} == {"web-1"}
    told = [one for frame in frames for one in (frame.control.dropped if frame.control else ())]
    assert [(one.host == endless, one.samples) for one in told] == [(True, 1)]
