"""Alertmanager's time intervals: times of day, weekdays, days of month, months and years in a place's time.

Source of the format: prometheus/alertmanager, `time_interval` in its configuration's documentation.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # both ends included

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = tuple(name.lower() for name in calendar.month_name[1:])
MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Interval:
    """All that is given must hold; of a list, one entry. Minutes of the day: the end is not included."""

    times: tuple[Span, ...]
    weekdays: tuple[Span, ...]
    days_of_month: tuple[Span, ...]
    months: tuple[Span, ...]
    years: tuple[Span, ...]
    zone: tzinfo

    def contains(self, now_ms: int) -> bool:
        """Whether a time falls into it."""
        at = datetime.fromtimestamp(now_ms / 1000, tz=self.zone)
        minute = at.hour * 60 + at.minute
        if self.times and not any(start <= minute < end for start, end in self.times):
            return False
        return (
            _within(self.weekdays, at.isoweekday() % 7)
            and _within(self.months, at.month)
            and _within(self.years, at.year)
            and self._on_day(at)
        )

    def _on_day(self, at: datetime) -> bool:
        if not self.days_of_month:
            return True
        days = calendar.monthrange(at.year, at.month)[1]
        for first, last in self.days_of_month:
            begin = max(1, days + first + 1 if first < 0 else first)
            end = min(days, days + last + 1 if last < 0 else last)
            if begin <= at.day <= end:
                return True
        return False


Intervals: TypeAlias = tuple[Interval, ...]


def contains(intervals: Sequence[Interval], now_ms: int) -> bool:
    """Whether a time falls into one of them."""
    return any(interval.contains(now_ms) for interval in intervals)


def _within(spans: Sequence[Span], value: int) -> bool:
    return not spans or any(first <= value <= last for first, last in spans)
