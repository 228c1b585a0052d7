"""Frames of a test, sent with a plain kafka-python producer."""

from collections.abc import Mapping, Sequence

from kafka import KafkaProducer

from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import Block, Frame, Header, encode_frame, join_keys, make_block, samples_in
from tests.support.patience import patient

PRODUCER = "00000000000000aa"


class FrameSender:
    """One producer; `block` and `send` build and send frames of one host each."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        self._seq = 0

    def block(self, host: str, ts: int, values: Mapping[str, float], **common: str) -> Block:
        """A block of one time: canonical key (without the common labels) → value."""
        return make_block(host, {"instance": host, **common}, join_keys(values), ts, values.values())

    def send(self, *blocks: Block, partition: int | None = None, created_ms: int | None = None) -> None:
        """One frame; all blocks of one partition. `created_ms` counts only while the topic keeps creation times."""
        self._seq += 1
        self.send_raw(
            encode_frame(Frame(1, 0, list(blocks))),
            key=blocks[0].host,
            partition=self.partition_of(blocks[0].host) if partition is None else partition,
            headers=[
                (Header.PRODUCER, PRODUCER.encode()),
                (Header.SEQ, str(self._seq).encode()),
                (Header.SAMPLES, str(sum(map(samples_in, blocks))).encode()),
            ],
            created_ms=created_ms,
        )

    def send_raw(
        self,
        value: bytes,
        key: str = "",
        partition: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
        created_ms: int | None = None,
    ) -> None:
        """Any bytes."""
        self._producer.send(self._topic, value, key.encode(), list(headers), partition, created_ms)

    def partition_of(self, host: str) -> int:
        """Where the host's frames go."""
        return partition_of(host, self._kafka.partitions)

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        self._producer.flush(patient(30))

    def close(self) -> None:
        """Flush and close."""
        self._producer.flush(patient(30))
        self._producer.close()
