"""From a stream to Kafka messages, as a gateway (many hosts a frame) or as agents (one host a frame) send them."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.stream import Stream
from fleetpulse.partition import partition_of
from fleetpulse.publish.packer import MAX_SAMPLES
from fleetpulse.wire import VERSION, Block, Control, Frame, Header, encode_frame, join_keys


class Outgoing(NamedTuple):
    """One message of `fleetpulse.metrics`."""

    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    ts_ms: int
    samples: int


class Messages:
    """One producer id and its counters; ticks are taken in order."""

    def __init__(self, stream: Stream, partitions: int, producer: str, agents: bool = False) -> None:
        """`agents`: one host a frame, else up to `MAX_SAMPLES` samples a frame."""
        self._stream = stream
        self._partitions = partitions
        self._producer = producer
        self._seq = 0
        self._series = [join_keys(stream.keys)] * len(stream.hosts)
        self._common = [stream.common(host) for host in range(len(stream.hosts))]
        self._sent = 0
        self._groups = _groups(stream, partitions, 1 if agents else MAX_SAMPLES)

    def tick(self, number: int, ts_ms: int) -> Iterator[Outgoing]:
        """The messages of one tick, all its samples stamped with one time."""
        yield from self.part(number, ts_ms, range(len(self._groups)))

    @property
    def groups(self) -> int:
        """How many messages a tick has."""
        return len(self._groups)

    def part(self, number: int, ts_ms: int, groups: range) -> Iterator[Outgoing]:
        """Some of a tick's messages; a tick begins with group 0."""
        stream = self._stream
        if groups.start == 0:
            for host in stream.replace(number):
                self._series[host] = join_keys(stream.names(host))
            self._values = stream.values(number)
            self._sent += self._values.shape[1]
        for at in groups:
            partition, hosts = self._groups[at]
            blocks = [
                Block(
                    stream.hosts[host],
                    self._common[host],
                    self._series[host],
                    ts_ms,
                    self._values[host].tobytes(),
                    b"",
                    self._sent,
                )
                for host in hosts
            ]
            yield self._message(partition, Frame(VERSION, ts_ms, blocks), ts_ms, len(hosts) * self._values.shape[1])

    def skip(self, ticks: int) -> None:
        """Count these ticks as sent before, so that the counters go on where another process of this id ended."""
        if ticks:
            self._sent = ticks * self._stream.shape.series_per_host
            self._seq = ticks * len(self._groups)
            for host in self._stream.replace(ticks - 1):
                self._series[host] = join_keys(self._stream.names(host))

    def closing(self, ts_ms: int) -> Outgoing:
        """The control frame that says that this producer sends no more."""
        partition, hosts = self._groups[0]
        frame = Frame(VERSION, ts_ms, [], Control(closed=True))
        message = self._message(partition, frame, ts_ms, 0)
        return message._replace(key=self._stream.hosts[hosts[0]].encode())

    def _message(self, partition: int, frame: Frame, ts_ms: int, samples: int) -> Outgoing:
        self._seq += 1
        headers = [
            (Header.PRODUCER.value, self._producer.encode()),
            (Header.SEQ.value, b"%d" % self._seq),
            (Header.SAMPLES.value, b"%d" % samples),
        ]
        key = frame.blocks[0].host.encode() if frame.blocks else b""
        return Outgoing(partition, key, encode_frame(frame), headers, ts_ms, samples)


def _groups(stream: Stream, partitions: int, samples: int) -> list[tuple[int, list[int]]]:
    """(partition, hosts) of every message of a tick."""
    most = max(1, samples // stream.shape.series_per_host)
    of_partition: dict[int, list[int]] = {}
    for number, host in enumerate(stream.hosts):
        of_partition.setdefault(partition_of(host, partitions), []).append(number)
    groups = []
    for partition, hosts in sorted(of_partition.items()):
        groups += [(partition, hosts[begin : begin + most]) for begin in range(0, len(hosts), most)]
    # partitions take turns, as they do when hosts send at any moment
    groups.sort(key=lambda group: group[1][0])
    return groups
