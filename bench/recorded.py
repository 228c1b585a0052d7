"""The recording of a real node_exporter that every benchmark replays (`bench/record.py` makes it)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zstandard

FILE = Path(__file__).parent / "recording" / "node_exporter.zst"
_QUANTA = (4096.0, 1024.0, 1.0, 0.01, 0.001, 1e-6, 1e-9)

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recording:
    """`values` float64[ticks, series]; `rising` bool[series]: a counter. The host's own labels are not in the keys."""

    keys: list[str]
    rising: BoolArray
    values: Float64Array
    interval_seconds: int

    @property
    def ticks(self) -> int:
        return len(self.values)

    def pick(self, places: list[int]) -> "Recording":
        """Only these series."""
        return Recording(
            [self.keys[place] for place in places], self.rising[places], self.values[:, places], self.interval_seconds
        )

    def first(self, ticks: int) -> "Recording":
        """Only its first ticks."""
        return Recording(self.keys, self.rising, self.values[:ticks], self.interval_seconds)

    def rise(self) -> Float64Array:
        """By how much each counter rises from one replay to the next, its last step repeated; 0 of a gauge."""
        step = self.values[-1] - self.values[-2]
        return np.where(self.rising, self.values[-1] - self.values[0] + np.maximum(step, 0.0), 0.0)

    def quanta(self) -> Float64Array:
        """The smallest step of each series, so that a scaled value is still a whole number of pages or of 10 ms.

        0 of a series that has none.
        """
        found = np.zeros(len(self.keys))
        for quantum in reversed(_QUANTA):
            steps = rounded(self.values, np.full(len(self.keys), quantum))
            # node_exporter divides microseconds by 1000 twice, which is not always the double next to the decimal
            found[(np.abs(steps - self.values) <= 2 * np.spacing(np.abs(self.values))).all(axis=0)] = quantum
        return found


def load(path: Path = FILE) -> Recording:
    """Read the recording."""
    raw = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=1 << 28)
    head, _, body = raw.partition(b"\n")
    facts = json.loads(head)
    values = unshuffled(body, facts["ticks"], len(facts["series"]))
    return Recording(facts["series"], np.array(facts["rising"], dtype=np.bool_), values, facts["interval_seconds"])


def rounded(values: Float64Array, quanta: Float64Array) -> Float64Array:
    """`values` to whole steps of ``quanta``, each the double next to its decimal; left as they are where that is 0."""
    steps = np.where(quanta > 0, 1.0 / np.where(quanta > 0, quanta, 1.0), 0.0)
    steps = np.where(quanta < 1.0, np.round(steps), steps)  # 1 / 0.01 is not quite 100
    return np.where(steps > 0, np.round(values * steps) / np.where(steps > 0, steps, 1.0), values)


def shuffled(values: Float64Array) -> bytes:
    """Series by series, and inside a series the first bytes of all values, then the second ones: it packs better."""
    columns = np.ascontiguousarray(values.T.astype("<f8"))
    return np.ascontiguousarray(columns.view(np.uint8).reshape(*columns.shape, 8).transpose(0, 2, 1)).tobytes()


def unshuffled(raw: bytes, ticks: int, series: int) -> Float64Array:
    """What `shuffled` was given."""
    planes = np.frombuffer(raw, dtype=np.uint8).reshape(series, 8, ticks)
    columns = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<f8").reshape(series, ticks)
    return np.ascontiguousarray(columns.T)
