"""What the hour job knows of one partition: which hours and minutes were touched, and which of them are done."""

from collections.abc import Collection, Iterable, Mapping

from clickhouse_driver import Client

from fleetpulse.storage import hours
from fleetpulse.storage.hours import Complete
from fleetpulse.storage.recompute import HOUR_SECONDS, HOURS, MINUTE_SECONDS, MINUTES

# A ledger row of an earlier owner may come late: rows that begin this many reads back are read again.
READS_BACK = 30
# An hour that is touched again and again is built all the same after so many times the pause.
LONGEST_PAUSES = 10


class PartitionProgress:
    """Read from the ledger and its marks; what it remembers could be read again at any time."""

    def __init__(self, client: Client, topic: str, number: int, lateness_seconds: float) -> None:
        self.number = number
        self._topic = topic
        self._lateness = lateness_seconds
        self._reached = [0]
        self._touched: dict[int, int] = {}  # hour → offset
        self._marks = hours.read_hour_marks(client, topic, number)
        # Hour → monotonic time of its last touch, which what was there at the start has not: it waited long enough;
        # and since when it is dirty, as far as we know.
        self._changed: dict[int, float] = {}
        self._since: dict[int, float] = {}
        self._unclean: dict[int, int] = {}  # minute → offset through which it was touched, above its mark
        self._unmarked: set[int] = set()  # those of them that have no mark at all
        self._told: dict[str, Complete] = {}

    @property
    def begin(self) -> int:
        """Rows of the ledger from this offset on are to be read."""
        return self._reached[0]

    @property
    def unclean(self) -> Collection[int]:
        """Minutes of which the marks are to be read."""
        return self._unclean.keys()

    def note(self, found: hours.Touched, monotonic: float) -> None:
        """Take note of what the ledger has that is new."""
        first = len(self._reached) == 1
        self._reached = [*self._reached, max(found.next_offset, self._reached[-1])][-READS_BACK:]
        if first:
            self._reached = self._reached[-1:] * 2
        for minute, offset in found.minutes.items():
            hour = minute // HOUR_SECONDS * HOUR_SECONDS
            if offset > self._touched.get(hour, 0):
                self._touched[hour] = offset
                if offset > self._marks.get(hour, 0):
                    self._since.setdefault(hour, monotonic)
                    if not first:
                        self._changed[hour] = monotonic
            self._unclean[minute] = max(offset, self._unclean.get(minute, 0))

    def note_clean(self, marks: Mapping[int, int]) -> None:
        """Forget the minutes that are clean by now: minute → the offset through which it is."""
        self._unclean = {minute: place for minute, place in self._unclean.items() if place > marks.get(minute, 0)}
        self._unmarked = self._unclean.keys() - marks.keys()

    @property
    def dirty_hours(self) -> list[int]:
        """Hours that were touched after they were built."""
        return [hour for hour, offset in self._touched.items() if offset > self._marks.get(hour, 0)]

    def due(self, now: float, monotonic: float, settle_seconds: float) -> dict[int, int]:
        """Dirty hours that are over and have settled, with the offset through which they were touched.

        Minutes that are not clean are waited for, so that the hour can be made from them, but not for ever: since the
        hour was over, or since it was touched when that came later.
        """
        over = {hour: now - (hour + HOUR_SECONDS + self._lateness) for hour in self.dirty_hours}
        waiting = {minute // HOUR_SECONDS * HOUR_SECONDS for minute in self._unclean}
        return {
            hour: self._touched[hour]
            for hour, ago in over.items()
            if ago >= 0
            and (
                (hour not in waiting and monotonic - self._changed.get(hour, -settle_seconds) >= settle_seconds)
                or min(ago, monotonic - self._since.get(hour, 0)) >= settle_seconds * LONGEST_PAUSES
            )
        }

    def clean(self, hour: int) -> bool:
        """Whether all minutes of the hour were marked clean through what had touched them at the last reading."""
        return not any(hour <= minute < hour + HOUR_SECONDS for minute in self._unclean)

    def built(self, hour: int, through: int) -> None:
        """The hour is marked."""
        self._marks[hour] = max(through, self._marks.get(hour, 0))
        self._since.pop(hour, None)
        self._changed.pop(hour, None)

    def complete(self, now: float, oldest: float) -> list[Complete]:
        """How far each tier is complete, where that is news; nothing before `oldest` is waited for.

        A bucket that was written once and waits for late data counts as complete.
        """
        self._forget(oldest)
        closed = now - self._lateness
        never = [hour for hour in self._touched if hour not in self._marks and hour >= oldest]
        unmarked = [minute for minute in self._unmarked if minute >= oldest]
        before = {
            MINUTES.name: min([*unmarked, int(closed // MINUTE_SECONDS * MINUTE_SECONDS)]),
            HOURS.name: min([*never, int(closed // HOUR_SECONDS * HOUR_SECONDS)]),
        }
        rows = [Complete(self.number, tier, at, self._reached[-1]) for tier, at in before.items()]
        news = [row for row in rows if self._told.get(row.tier, row._replace(before=-1)).before != row.before]
        self._told.update((row.tier, row) for row in news)
        return news

    def _forget(self, oldest: float) -> None:
        """What is older than the raw samples is not built any more."""
        for of_time in (self._touched, self._marks, self._changed, self._since, self._unclean):
            for gone in [start for start in of_time if start < oldest - HOUR_SECONDS]:
                del of_time[gone]


def read(client: Client, topic: str, partitions: Iterable[PartitionProgress], monotonic: float) -> None:
    """Let the partitions know what is new: first what was touched, then what of it is clean."""
    by_number = {one.number: one for one in partitions}
    found = hours.read_touched(client, topic, {number: one.begin for number, one in by_number.items()})
    for number, touched in found.items():
        by_number[number].note(touched, monotonic)
    marks = hours.read_minute_marks(client, topic, {number: one.unclean for number, one in by_number.items()})
    for number, through in marks.items():
        by_number[number].note_clean(through)
