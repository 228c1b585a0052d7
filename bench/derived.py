"""What a rules worker recorded at the speed of a benchmark, put back as one that keeps up with its fleet writes it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from bench.messages import Outgoing
from fleetpulse.frames import columns_of
from fleetpulse.partition import partition_of
from fleetpulse.publish.packer import Packer
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import VERSION, Block, Frame, Header, decode_frame, encode_frame, samples_in

DERIVED_PRODUCER = b"be4c000000000002"


def derived(topics: KafkaSettings) -> list[Outgoing]:
    """What recording rules wrote, in the order of time, as a worker that keeps up writes it: a tick a frame.

    At this speed the worker takes many ticks at once and records them together.
    """
    ticks: dict[int, dict[tuple[str, frozenset[Any]], list[Recorded]]] = {}
    for message in _recorded_messages(topics):
        for block in decode_frame(message.value).blocks:
            for recorded in _by_time(block):
                source = recorded.host, frozenset(recorded.common.items())
                ticks.setdefault(recorded.ts_ms, {}).setdefault(source, []).append(recorded)
    sent: Counter[str] = Counter()
    seq = 0
    found = []
    for ts_ms in sorted(ticks):
        packer = Packer(topics.partitions)
        blocks = (_joined(parts, sent) for parts in ticks[ts_ms].values())
        frames = [frame for block in blocks if (frame := packer.add(block))] + packer.drain()
        for frame in frames:
            seq += 1
            found.append(_outgoing(frame, ts_ms, seq, topics.partitions))
    return found


class Recorded(NamedTuple):
    """Recorded samples of one host and time."""

    host: str
    common: dict[str, str]
    ts_ms: int
    series: bytes
    value: bytes


def _by_time(block: Block) -> Iterator[Recorded]:
    columns, names = columns_of(block), block.series.split(b"\n")
    places = np.arange(columns.series_count) if columns.index is None else columns.index
    for ts_ms in np.unique(columns.ts):
        here = columns.ts == ts_ms
        series = b"\n".join([names[place] for place in places[here]])
        yield Recorded(block.host, block.common, int(ts_ms), series, columns.value[here].tobytes())


def _joined(parts: list[Recorded], sent: Counter[str]) -> Block:
    first = parts[0]
    value = b"".join(part.value for part in parts)
    sent[first.host] += len(value) // 8
    series = b"\n".join(part.series for part in parts)
    return Block(first.host, first.common, series, first.ts_ms, value, b"", sent[first.host])


def _outgoing(blocks: list[Block], ts_ms: int, seq: int, partitions: int) -> Outgoing:
    samples = sum(map(samples_in, blocks))
    headers = [
        (Header.PRODUCER.value, DERIVED_PRODUCER),
        (Header.SEQ.value, b"%d" % seq),
        (Header.SAMPLES.value, b"%d" % samples),
        (Header.DERIVED.value, b"1"),
    ]
    host = blocks[0].host
    value = encode_frame(Frame(VERSION, ts_ms, blocks))
    return Outgoing(partition_of(host, partitions), host.encode(), value, headers, ts_ms, samples)


def _recorded_messages(topics: KafkaSettings) -> Iterator[Any]:
    name = Topic.METRICS.named(topics.topic_prefix)
    consumer = KafkaConsumer(bootstrap_servers=topics.bootstrap_servers, enable_auto_commit=False)
    partitions = [TopicPartition(name, number) for number in range(topics.partitions)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(one) < ends[one] for one in partitions):
        for messages in consumer.poll(1000).values():
            yield from (one for one in messages if Header.DERIVED.value in dict(one.headers))
    consumer.close()
