"""Fat frames: gather the blocks of many hosts per partition, up to a number of samples a frame."""

from fleetpulse.partition import partition_of
from fleetpulse.wire import Block, samples_in

MAX_SAMPLES = 5000
# A frame closes at this size too, so that one of long series keys does not become a giant message.
MAX_BYTES = 768 * 1024


class Packer:
    """Blocks in, lists of blocks out; each list is one frame, its hosts all of one partition."""

    def __init__(self, partitions: int, max_samples: int = MAX_SAMPLES, max_bytes: int = MAX_BYTES) -> None:
        self._partitions = partitions
        self._max_samples = max_samples
        self._max_bytes = max_bytes
        self._open: dict[int, _OpenFrame] = {}

    def add(self, block: Block) -> list[Block] | None:
        """Take a block; returns the blocks of a frame that this one no longer fits in, to be sent now."""
        partition = partition_of(block.host, self._partitions)
        samples, size = samples_in(block), _bytes_in(block)
        frame = self._open.get(partition)
        if frame is None:
            self._open[partition] = _OpenFrame(block, samples, size)
            return None
        if frame.samples + samples > self._max_samples or frame.size + size > self._max_bytes:
            self._open[partition] = _OpenFrame(block, samples, size)
            return frame.blocks
        frame.blocks.append(block)
        frame.samples += samples
        frame.size += size
        return None

    def drain(self) -> list[list[Block]]:
        """The frames still open, and none is open any more."""
        frames = [frame.blocks for frame in self._open.values()]
        self._open.clear()
        return frames


class _OpenFrame:
    __slots__ = ("blocks", "samples", "size")

    def __init__(self, block: Block, samples: int, size: int) -> None:
        self.blocks = [block]
        self.samples = samples
        self.size = size


def _bytes_in(block: Block) -> int:
    stamps = 9 if isinstance(block.ts, int) else len(block.ts)
    return len(block.series) + len(block.value) + len(block.index) + stamps
