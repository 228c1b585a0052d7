"""What a publisher says about itself: control frames with the samples that were given up, and closed producer ids."""

from collections.abc import Iterable
from dataclasses import replace

from fleetpulse.clock import Clock
from fleetpulse.errors import FrameError
from fleetpulse.partition import partition_of
from fleetpulse.publish.losses import Losses
from fleetpulse.publish.memo import Ended, SavedControl
from fleetpulse.publish.origin import Origin
from fleetpulse.publish.parcel import Parcel
from fleetpulse.wire import VERSION, Block, Control, Dropped, Frame, decode_frame, encode_frame, samples_in

# What a later run says for the id of a killed one is numbered from here: no run ever sends so many frames itself.
SAID_LATER = 1 << 40
MOST_DROPPED = 10_000  # hosts and hours in one control frame


class Announcements:
    """Losses that nobody was told of yet, ids to be closed, and the control frames that are under way.

    Not safe to use from several threads.
    """

    def __init__(self, origin: Origin, partitions: int, clock: Clock) -> None:
        self.losses = Losses()
        self.lost = 0  # samples that this process gave up for want of memory, ever
        self.ended: dict[str, Ended] = {}
        self._origin = origin
        self._partitions = partitions
        self._clock = clock
        self._controls: list[Parcel] = []

    def __bool__(self) -> bool:
        return bool(self.losses or self.ended or self._controls)

    def count_loss(self, parcel: Parcel) -> None:
        """A frame that was accepted is given up."""
        self.losses.count(parcel)
        self.lost += parcel.samples

    def restore(self, controls: Iterable[SavedControl]) -> list[Parcel]:
        """Control frames of the run before, to be sent again as they were."""
        parcels = [self._parcel(saved.producer, saved.seq, saved.key, saved.value) for saved in controls]
        self._controls += parcels
        return parcels

    def route(self, parcel: Parcel) -> None:
        """To the partition of its key: the topic may have had another number of them when it was written down."""
        parcel.partition = partition_of(parcel.key, self._partitions)

    def split(self, parcel: Parcel) -> list[Parcel]:
        """A frame's parts by partition: one, unless the topic had another number of partitions when it was packed.

        They share its producer id and number; the numbers of the samples are in the blocks.
        """
        try:
            frame = decode_frame(parcel.value)
        except FrameError:  # what it is, is for the consumer to say
            return [parcel]
        blocks: dict[int, list[Block]] = {}
        for block in frame.blocks:
            blocks.setdefault(partition_of(block.host, self._partitions), []).append(block)
        if len(blocks) < 2:
            return [parcel]
        return [
            replace(
                parcel,
                key=part[0].host,
                partition=partition,
                value=encode_frame(Frame(frame.v, frame.sent_ms, part)),
                samples=sum(map(samples_in, part)),
            )
            for partition, part in blocks.items()
        ]

    def saved(self) -> list[SavedControl]:
        """The control frames that are not settled."""
        return [
            SavedControl(parcel.producer, parcel.seq, parcel.key, parcel.value)
            for parcel in self._controls
            if not parcel.settled
        ]

    def settled(self) -> bool:
        """Forget the control frames that are settled; True when there were some."""
        before = len(self._controls)
        self._controls = [parcel for parcel in self._controls if not parcel.settled]
        return len(self._controls) < before

    def say_losses(self) -> list[Parcel]:
        """The losses as control frames, one or more a producer id and partition; none are left."""
        parcels = []
        for producer, dropped in self.losses.take().items():
            by_partition: dict[int, list[Dropped]] = {}
            for loss in dropped:
                by_partition.setdefault(partition_of(loss.host, self._partitions), []).append(loss)
            for losses in by_partition.values():
                for start in range(0, len(losses), MOST_DROPPED):
                    part = losses[start : start + MOST_DROPPED]
                    parcels.append(self._control(producer, part[0].host, Control(part)))
        self._controls += parcels
        return parcels

    def say_closed(self) -> list[Parcel]:
        """The ended ids as control frames that close them; none are left."""
        parcels = [
            self._control(producer, ended.key, Control(closed=True))
            for producer, ended in self.ended.items()
            if ended.key
        ]
        self.ended.clear()
        self._controls += parcels
        return parcels

    def close_own(self) -> Parcel:
        """The control frame that closes this run's own id."""
        return self._control(self._origin.producer, self._origin.key, Control(closed=True))

    def _control(self, producer: str, key: str, control: Control) -> Parcel:
        if producer == self._origin.producer:
            seq = self._origin.next_seq()
        else:
            ended = self.ended.setdefault(producer, Ended(key))
            seq = SAID_LATER + ended.said
            ended.said += 1
        return self._parcel(producer, seq, key, encode_frame(Frame(VERSION, self._clock.now_ms(), [], control)))

    def _parcel(self, producer: str, seq: int, key: str, value: bytes) -> Parcel:
        partition = partition_of(key, self._partitions)
        return Parcel(producer, seq, key, partition, value, 0, control=True, born=self._clock.monotonic())
