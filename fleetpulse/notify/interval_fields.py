"""The `time_intervals` of the configuration, read field by field."""

from collections.abc import Callable, Sequence
from datetime import UTC
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from fleetpulse.notify.fields import texts_of
from fleetpulse.notify.intervals import MINUTES_OF_DAY, MONTHS, WEEKDAYS, Interval, Intervals, Span
from fleetpulse.rules.fields import Complaints, Fields

INTERVAL_FIELDS = ("times", "weekdays", "days_of_month", "months", "years", "location")


def read_intervals(root: Fields, name: str, complaints: Complaints) -> dict[str, Intervals]:
    """The named intervals of one field of the file."""
    found: dict[str, Intervals] = {}
    for node in root.items(name):
        fields = Fields(node, "time interval", ("name", "time_intervals"), complaints)
        title = fields.required("name")
        if title in found:
            complaints.add(node, f"time interval {title!r} is in the file twice")
        found[title] = tuple(_interval(item, complaints) for item in fields.items("time_intervals"))
    return found


def _interval(node: yaml.Node, complaints: Complaints) -> Interval:
    fields = Fields(node, "time interval", INTERVAL_FIELDS, complaints)
    zone = fields.text("location") or "UTC"
    try:
        place = UTC if zone == "UTC" else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.complain("location", f"there is no time zone {zone!r}: use a name as Europe/Berlin")
        place = UTC
    return Interval(
        times=tuple(_times(item, complaints) for item in fields.items("times")),
        weekdays=_spans(fields, "weekdays", _named(WEEKDAYS, 0), 0, 6),
        days_of_month=_spans(fields, "days_of_month", int, -31, 31),
        months=_spans(fields, "months", _named(MONTHS, 1), 1, 12),
        years=_spans(fields, "years", int, 1, 9999),
        zone=place,
    )


def _times(node: yaml.Node, complaints: Complaints) -> Span:
    fields = Fields(node, "times", ("start_time", "end_time"), complaints)
    start, end = (_minute(fields, name) for name in ("start_time", "end_time"))
    if start >= end:
        complaints.add(node, "times: 'start_time' must be before 'end_time'; two entries go over midnight")
    return start, end


def _minute(fields: Fields, name: str) -> int:
    text = fields.required(name)
    hours, colon, minutes = text.partition(":")
    if colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal():
        minute = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and minute <= MINUTES_OF_DAY:
            return minute
    if text:
        fields.complain(name, f"{text!r} is not a time of day: use 00:00 to 24:00")
    return 0


def _spans(fields: Fields, name: str, parse: Callable[[str], int], least: int, most: int) -> tuple[Span, ...]:
    spans = []
    for text in texts_of(fields, name):
        first, _, last = text.lower().strip().partition(":")
        try:
            span = parse(first), parse(last or first)
        except ValueError:
            fields.complain(name, f"{text!r} is not understood: use a value or a range as first:last")
            continue
        if not (least <= span[0] <= most and least <= span[1] <= most) or (name == "days_of_month" and 0 in span):
            fields.complain(name, f"{text!r} is outside of what there is")
        elif span[0] > span[1] and (span[0] < 0) == (span[1] < 0):
            fields.complain(name, f"{text!r} ends before it begins")
        else:
            spans.append(span)
    return tuple(spans)


def _named(names: Sequence[str], first: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        return names.index(text) + first if text in names else int(text)

    return parse
