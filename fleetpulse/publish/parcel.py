"""One encoded frame on its way to Kafka, with what its record headers and its accounting need."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Parcel:
    """`producer` and `seq` name the frame for ever: over a retry, another client, and a restart.

    `value` is emptied when nobody needs it in memory any more; `size` stays.
    """

    producer: str
    seq: int
    key: str
    partition: int
    value: bytes
    samples: int
    derived: bool = False
    control: bool = False
    born: float = 0.0  # monotonic seconds
    handed: float = 0.0  # when Kafka's client got it last
    after: int = 0  # samples that this process had given up when it was accepted
    seen: bool = False  # Kafka's client had it: it may have arrived
    old: bool = False  # read back from the disk, where its record still is
    insured: bool = False  # Kafka's client has or had it, and its record is on the disk as well
    settled: bool = False  # delivered, or given up
    on_settled: Callable[[], None] | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.value)

    def settle(self) -> None:
        """It is delivered, or given up."""
        self.settled = True
        if self.on_settled is not None:
            self.on_settled()
