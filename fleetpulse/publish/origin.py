"""Who sends: the producer id, the numbers of its frames, and per host how many samples it ever accepted."""

import secrets
from collections.abc import Sequence

from fleetpulse.wire import Block, samples_in


class Origin:
    """A new id, or that of a run that stopped cleanly, whose numbers go on.

    After a crash the id is a new one. The numbers of the killed run were ahead of what it left on the disk, by the
    frames that were delivered from memory; using one of them twice would make new samples look like a repetition.
    """

    def __init__(self, producer: str = "", seq: int = 0, sent: dict[str, int] | None = None, key: str = "") -> None:
        self.producer = producer or secrets.token_hex(8)
        self.seq = seq
        self.sent = sent if sent is not None else {}
        self.key = key  # the first host of the newest frame

    def next_seq(self) -> int:
        """The number of a new frame."""
        self.seq += 1
        return self.seq

    def counted(self, blocks: Sequence[Block]) -> list[Block]:
        """The blocks with their `sent` filled in."""
        self.key = blocks[0].host
        return [self._counted(block) for block in blocks]

    def _counted(self, block: Block) -> Block:
        sent = self.sent.get(block.host, 0) + samples_in(block)
        self.sent[block.host] = sent
        return Block(block.host, block.common, block.series, block.ts, block.value, block.index, sent)
