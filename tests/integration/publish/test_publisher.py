"""The publisher on Apache Kafka: exact counts, whatever the broker does, and no caller ever waits."""

import signal
import time
from collections.abc import Iterator

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.partition import partition_of
from fleetpulse.publish.publisher import Publisher
from fleetpulse.publish.topic_admin import ensure_topics
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Block, Header, make_block, samples_in
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.metrics_topic import Message, read_all
from tests.support.patience import patient
from tests.support.servers import KafkaServer, start_kafka
from tests.support.topics import fresh_topics

pytestmark = pytest.mark.servers

SAMPLES = 100


def block(host: str = "web-1", samples: int = SAMPLES, ts: int = 1_767_225_600_000) -> Block:
    keys = "\n".join(f"metric_{n}" for n in range(samples)).encode()
    return make_block(host, {"instance": host}, keys, ts, [float(n) for n in range(samples)])


def counts(metrics: SelfMetrics) -> dict[str, int]:
    names = ("samples", "delivered_samples", "failed_samples", "dropped_samples")
    return {name: int(metrics.get(f"fleetpulse_publish_{name}_total")) for name in names}


def stored(messages: list[Message]) -> int:
    return sum(message.samples for message in messages)


@pytest.fixture(scope="module")
def broker(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker of this file's own."""
    server = start_kafka(tmp_path_factory.mktemp("publisher-kafka"), guard)
    yield server
    server.server.stop()


@pytest.fixture
def own_kafka(broker: KafkaServer) -> Iterator[KafkaServer]:
    """A broker that the test may stop or kill; it runs again for the next one."""
    if broker.server.child.process.poll() is not None:
        broker.server.start()
    yield broker
    broker.server.child.process.send_signal(signal.SIGCONT)


def test_frames_arrive_once_in_their_hosts_partition_with_headers_and_counters(topics: KafkaSettings) -> None:
    metrics = SelfMetrics()
    with Publisher(topics, PublishSettings(), metrics) as publisher:
        for tick in range(20):
            for host in ("web-1", "web-2", "db-1"):
                assert publisher.send([block(host, ts=tick)], derived=host == "db-1")
        assert publisher.flush(20.0)
        producer = publisher.producer_id
    assert counts(metrics) == {
        "samples": 6000,
        "delivered_samples": 6000,
        "failed_samples": 0,
        "dropped_samples": 0,
    }
    messages = read_all(topics)
    assert stored(messages) == 6000
    assert {message.timestamp_type for message in messages} == {1}  # LogAppendTime
    assert sorted(int(message.headers[Header.SEQ]) for message in messages) == list(range(1, 62))
    for message in messages:
        assert message.partition == partition_of(message.key, topics.partitions)
        assert message.headers[Header.PRODUCER] == producer
        assert int(message.headers[Header.SAMPLES]) == message.samples
        assert (Header.DERIVED in message.headers) == any(b.host == "db-1" for b in message.frame.blocks)
    sent = [b.sent for message in messages for b in message.frame.blocks if b.host == "web-1"]
    assert sent == [SAMPLES * (n + 1) for n in range(20)]
    assert [message.frame.control.closed for message in messages if message.frame.control] == [True]


def test_a_frame_of_two_partitions_is_a_mistake_of_the_caller(topics: KafkaSettings) -> None:
    hosts = ["web-1", next(f"h{n}" for n in range(99) if partition_of(f"h{n}", 4) != partition_of("web-1", 4))]
    with Publisher(topics, PublishSettings(), SelfMetrics()) as publisher:
        with pytest.raises(ValueError, match="hosts of one partition"):
            publisher.send([block(host) for host in hosts])
        with pytest.raises(ValueError, match="hosts of one partition"):
            publisher.send([])


def test_a_stopped_broker_blocks_nobody_and_what_overflows_is_counted_exactly(own_kafka: KafkaServer) -> None:
    kafka = fresh_topics(own_kafka.bootstrap_servers)
    metrics = SelfMetrics()
    publisher = Publisher(kafka, PublishSettings(buffer_bytes=100_000), metrics)
    publisher.send([block()])
    assert publisher.flush(20.0)
    own_kafka.server.child.process.send_signal(signal.SIGSTOP)
    accepted = []
    for _ in range(200):
        start = time.monotonic()
        accepted.append(publisher.send([block()]))
        assert time.monotonic() - start < patient(5.0)  # a send that waits for the broker takes a minute
        assert publisher.waiting_bytes <= 100_000
    assert accepted[0]
    assert not accepted[-1]
    dropped = counts(metrics)["dropped_samples"]
    assert 0 < dropped < 20_000
    assert publisher.flush(0.2) is False
    own_kafka.server.child.process.send_signal(signal.SIGCONT)
    assert publisher.flush(30.0)
    assert publisher.close()
    assert counts(metrics) == {
        "samples": 20_100,
        "delivered_samples": 20_100 - dropped,
        "failed_samples": 0,
        "dropped_samples": dropped,
    }
    messages = read_all(kafka)
    assert stored(messages) == 20_100 - dropped
    losses = [loss for m in messages if m.frame.control for loss in m.frame.control.dropped]
    assert sum(loss.samples for loss in losses) == dropped
    assert {loss.host for loss in losses} == {"web-1"}
    assert max(b.sent for m in messages for b in m.frame.blocks) == 20_100


def test_a_producer_that_stalls_is_opened_again_and_nothing_is_lost(
    own_kafka: KafkaServer,
) -> None:
    kafka = fresh_topics(own_kafka.bootstrap_servers)
    metrics = SelfMetrics()
    publisher = Publisher(kafka, PublishSettings(stall_seconds=1.0), metrics)
    publisher.send([block()])
    assert publisher.flush(20.0)
    own_kafka.server.child.process.send_signal(signal.SIGSTOP)
    for _ in range(10):
        publisher.send([block()])
    client = publisher._sender._client
    eventually(lambda: publisher._sender._client is not client, timeout=20.0)
    own_kafka.server.child.process.send_signal(signal.SIGCONT)
    assert publisher.flush(40.0)
    publisher.close()
    assert counts(metrics)["delivered_samples"] == counts(metrics)["samples"] == 1100
    once = {(m.headers[Header.SEQ], m.samples) for m in read_all(kafka)}  # some may be there twice
    assert sum(samples for _, samples in once) == 1100


def test_close_has_a_bound_when_the_broker_is_gone_and_counts_what_is_left(own_kafka: KafkaServer) -> None:
    kafka = fresh_topics(own_kafka.bootstrap_servers)
    metrics = SelfMetrics()
    publisher = Publisher(kafka, PublishSettings(), metrics)
    publisher.send([block()])
    assert publisher.flush(20.0)
    own_kafka.server.kill()
    for _ in range(5):
        publisher.send([block()])
    start = time.monotonic()
    assert publisher.close(2.0) is False
    assert time.monotonic() - start < patient(5.0)
    assert counts(metrics)["failed_samples"] == 500
    assert publisher.send([block()]) is False
    assert counts(metrics) == {
        "samples": 700,
        "delivered_samples": 100,
        "failed_samples": 500,
        "dropped_samples": 100,
    }


def test_a_broker_that_comes_back_after_a_crash_gets_everything(own_kafka: KafkaServer) -> None:
    kafka = fresh_topics(own_kafka.bootstrap_servers)
    metrics = SelfMetrics()
    with Publisher(kafka, PublishSettings(), metrics) as publisher:
        publisher.send([block()])
        assert publisher.flush(20.0)
        own_kafka.server.kill()
        for _ in range(5):
            publisher.send([block()])
        own_kafka.server.start()
        assert publisher.flush(60.0)
    assert counts(metrics)["delivered_samples"] == 600
    assert sum(samples for _, samples in {(m.headers[Header.SEQ], m.samples) for m in read_all(kafka)}) == 600


def test_without_kafka_frames_wait_and_what_is_left_at_the_end_is_failed() -> None:
    metrics = SelfMetrics()
    absent = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=4)
    publisher = Publisher(absent, PublishSettings(delivery_timeout_seconds=0.5), metrics)
    for _ in range(3):
        assert publisher.send([block()])
    assert not publisher.connected
    assert publisher.flush(1.0) is False
    assert counts(metrics)["failed_samples"] == 0
    publisher.close(1.0)
    assert counts(metrics) == {"samples": 300, "delivered_samples": 0, "failed_samples": 300, "dropped_samples": 0}


def test_another_number_of_partitions_is_refused_by_name(topics: KafkaSettings) -> None:
    wrong = KafkaSettings(bootstrap_servers=topics.bootstrap_servers, topic_prefix=topics.topic_prefix, partitions=7)
    publisher = Publisher(wrong, PublishSettings(), SelfMetrics())
    publisher.send([block()])

    def refused() -> bool:
        try:
            publisher.send([block()])
        except SettingsError as error:
            return "has 4 partitions, FLEETPULSE_KAFKA_PARTITIONS is 7" in str(error)
        return False

    eventually(refused, timeout=20.0)
    with pytest.raises(SettingsError, match="has 4 partitions"):
        publisher.flush(20.0)
    assert publisher.close(2.0) is False
    assert read_all(topics) == []


def test_a_topic_that_is_missing_is_named_and_waited_for(
    topics: KafkaSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetpulse.publish.client.OPEN_TIMEOUT_MS", 2_000)
    later = KafkaSettings(
        bootstrap_servers=topics.bootstrap_servers, topic_prefix=f"{topics.topic_prefix}-later", partitions=4
    )
    metrics = SelfMetrics()
    with Publisher(later, PublishSettings(), metrics) as publisher:
        publisher.send([block()])
        eventually(lambda: any("later.metrics, which" in str(vars(record)) for record in caplog.records), timeout=20.0)
        ensure_topics(later)
        assert publisher.flush(30.0)
    assert counts(metrics)["delivered_samples"] == 100


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="FLEETPULSE_KAFKA_SASL_MECHANISM"):
        Publisher(KafkaSettings(security_protocol="SASL_SSL"), PublishSettings(), SelfMetrics())


def test_a_frame_over_the_largest_message_is_dropped_and_the_next_one_arrives(topics: KafkaSettings) -> None:
    metrics = SelfMetrics()
    giant = make_block("web-1", {}, b"\n".join(b"m" * 200 for _ in range(50_000)), 0, [0.0] * 50_000)
    with Publisher(topics, PublishSettings(), metrics) as publisher:
        assert publisher.send([giant]) is False
        assert publisher.send([block()])
    assert counts(metrics) == {
        "samples": 50_100,
        "delivered_samples": 100,
        "failed_samples": 0,
        "dropped_samples": 50_000,
    }


def test_a_large_frame_of_random_values_fits(topics: KafkaSettings) -> None:
    metrics = SelfMetrics()
    values = [float.fromhex(f"0x1.{n * 2654435761 % 2**52:013x}p0") for n in range(400_000)]
    large = make_block("web-1", {}, b"\n".join(b"m%d" % n for n in range(400_000)), 0, values)
    assert samples_in(large) == 400_000
    with Publisher(topics, PublishSettings(), metrics) as publisher:
        assert publisher.send([large])
        assert publisher.flush(30.0)
    assert stored(read_all(topics)) == 400_000
