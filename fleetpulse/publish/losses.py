"""Samples that were given up, by producer id, host and hour of the sample's own time."""

from array import array
from collections.abc import Iterable, Iterator

from fleetpulse.publish.parcel import Parcel
from fleetpulse.topics import HOUR_MS
from fleetpulse.wire import Block, Dropped, decode_frame, samples_in

Loss = tuple[str, str, int, int]  # producer id, host, hour in ms, samples


class Losses:
    """Counts that are exact whatever was lost: data, or a control frame that said what was lost."""

    def __init__(self, rows: Iterable[Loss] = ()) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self.add_all(rows)

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def total(self) -> int:
        """Samples counted."""
        return sum(self._counts.values())

    def count(self, parcel: Parcel, value: bytes = b"") -> None:
        """Count a frame's samples; of a control frame what it would have said. `value`: when it is emptied already."""
        self.add_all(losses_of(parcel, value))

    def add_all(self, rows: Iterable[Loss]) -> None:
        """Count more rows."""
        for row in rows:
            self.add(row)

    def rows(self) -> Iterator[Loss]:
        """Everything counted."""
        return ((producer, host, hour, samples) for (producer, host, hour), samples in self._counts.items())

    def take(self) -> dict[str, list[Dropped]]:
        """Everything counted, by producer id; nothing is left."""
        taken: dict[str, list[Dropped]] = {}
        for producer, host, hour_ms, samples in self.rows():
            taken.setdefault(producer, []).append(Dropped(host, hour_ms, samples))
        self._counts.clear()
        return taken

    def add(self, row: Loss) -> None:
        """Count one row more."""
        producer, host, hour_ms, samples = row
        key = (producer, host, hour_ms)
        self._counts[key] = self._counts.get(key, 0) + samples


def losses_of(parcel: Parcel, value: bytes = b"") -> list[Loss]:
    """What is lost with a frame; of a control frame what it would have said. Raises FrameError."""
    frame = decode_frame(value or parcel.value)
    rows = [
        (parcel.producer, block.host, hour_ms, samples)
        for block in frame.blocks
        for hour_ms, samples in _by_hour(block)
    ]
    dropped = frame.control.dropped if frame.control else ()
    return rows + [(parcel.producer, loss.host, loss.hour_ms, loss.samples) for loss in dropped]


def _by_hour(block: Block) -> Iterable[tuple[int, int]]:
    if isinstance(block.ts, int):
        return [(block.ts - block.ts % HOUR_MS, samples_in(block))]
    stamps = array("q", block.ts)
    first, last = min(stamps, default=0), max(stamps, default=0)
    if first // HOUR_MS == last // HOUR_MS:
        return [(first - first % HOUR_MS, len(stamps))] if stamps else []
    counts: dict[int, int] = {}
    for stamp in stamps:
        hour_ms = stamp - stamp % HOUR_MS
        counts[hour_ms] = counts.get(hour_ms, 0) + 1
    return counts.items()
