"""A producer that numbers its samples as the publisher does, and can be told to do wrong."""

from collections.abc import Sequence

from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import Block, Control, Dropped, Frame, Header, encode_frame, join_keys, make_block, samples_in
from tests.support.frames import FrameSender


class NumberedSender:
    """One producer id; every sample of a host gets the next number of the host."""

    def __init__(self, kafka: KafkaSettings, producer: str = "00000000000000cc") -> None:
        self.frames = FrameSender(kafka)
        self.producer = producer
        self.seq = 0
        self.numbers: dict[str, int] = {}

    def block(self, host: str, ts: int | Sequence[int], values: Sequence[float], metric: str = "m") -> Block:
        """A block of one series for each value, or of one series at several times."""
        number = self.numbers[host] = self.numbers.get(host, 0) + len(values)
        if isinstance(ts, int):
            keys = [f'{metric}{{n="{n}"}}' for n in range(len(values))]
            return make_block(host, {"instance": host}, join_keys(keys), ts, values, sent=number)
        return make_block(host, {"instance": host}, metric.encode(), ts, values, index=[0] * len(values), sent=number)

    def frame(
        self, *blocks: Block, v: int = 1, control: Control | None = None
    ) -> tuple[bytes, list[tuple[str, bytes]]]:
        """A frame's bytes and headers, not sent."""
        self.seq += 1
        samples = sum(map(samples_in, blocks))
        headers = [
            (str(Header.PRODUCER), self.producer.encode()),
            (str(Header.SEQ), str(self.seq).encode()),
            (str(Header.SAMPLES), str(samples).encode()),
        ]
        return encode_frame(Frame(v, 0, list(blocks), control)), headers

    def send(self, *blocks: Block, times: int = 1, v: int = 1) -> None:
        """Send a frame, or the same one several times."""
        value, headers = self.frame(*blocks, v=v)
        for _ in range(times):
            self.send_raw(blocks[0].host, value, headers)

    def send_raw(self, host: str, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Bytes to the host's partition."""
        self.frames.send_raw(value, host, self.frames.partition_of(host), headers)

    def control(self, host: str, *dropped: Dropped, closed: bool = False) -> None:
        """A control frame, on the host's partition."""
        value, headers = self.frame(control=Control(list(dropped), closed))
        self.send_raw(host, value, headers)

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        self.frames.flush()

    def close(self) -> None:
        """Flush and close."""
        self.frames.close()
