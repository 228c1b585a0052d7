"""The `route` tree of the configuration, read field by field; a route inherits from the one above it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from fleetpulse.notify.config import ALL_LABELS, MINUTE_MS, Receiver, Route
from fleetpulse.notify.fields import boolean, matchers_of, texts_of
from fleetpulse.notify.intervals import Intervals
from fleetpulse.notify.matchers import shown
from fleetpulse.rules.fields import Complaints, Fields, line_of

ROUTE_FIELDS = (
    "receiver",
    "group_by",
    "continue",
    "matchers",
    "match",
    "match_re",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "mute_time_intervals",
    "active_time_intervals",
    "routes",
)
_OF_CHILDREN = ("matchers", "match", "match_re", "continue", "mute_time_intervals", "active_time_intervals")


@dataclass(frozen=True, slots=True)
class _Above:
    """What a route inherits."""

    receiver: str = ""
    group_by: tuple[str, ...] = ()
    group_wait_ms: int = MINUTE_MS // 2
    group_interval_ms: int = 5 * MINUTE_MS
    repeat_interval_ms: int = 240 * MINUTE_MS
    key: str = ""


def read_route(
    node: yaml.Node, receivers: Mapping[str, Receiver], intervals: Mapping[str, Intervals], complaints: Complaints
) -> Route | None:
    """The tree; None when the root cannot be used."""
    fields = Fields(node, "the root route", ROUTE_FIELDS, complaints)
    for name in _OF_CHILDREN:
        if name in fields:
            fields.complain(name, "is not for the root route, which takes every alert at any time")
    if not fields.text("receiver"):
        complaints.add(node, "the root route: field 'receiver' is missing")
        return None
    return _route(node, _Above(), receivers, intervals, complaints)


def _route(
    node: yaml.Node,
    above: _Above,
    receivers: Mapping[str, Receiver],
    intervals: Mapping[str, Intervals],
    complaints: Complaints,
) -> Route:
    fields = Fields(node, "route", ROUTE_FIELDS, complaints)
    receiver = fields.text("receiver") or above.receiver
    if receiver not in receivers:
        near = difflib.get_close_matches(receiver, receivers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"receivers are {', '.join(receivers) or 'none'}"
        fields.complain("receiver", f"there is no receiver {receiver!r}; {hint}")
    matchers = matchers_of(fields, "matchers", "match", "match_re")
    inherited = _Above(
        receiver,
        _group_by(fields) if "group_by" in fields else above.group_by,
        _duration(fields, "group_wait", above.group_wait_ms, zero=True),
        _duration(fields, "group_interval", above.group_interval_ms),
        _duration(fields, "repeat_interval", above.repeat_interval_ms),
        f"{above.key}/{shown(matchers)}" if above.key else shown(matchers),
    )
    children = [_route(child, inherited, receivers, intervals, complaints) for child in fields.items("routes")]
    return Route(
        receiver=receiver,
        matchers=matchers,
        group_by=inherited.group_by,
        group_wait_ms=inherited.group_wait_ms,
        group_interval_ms=inherited.group_interval_ms,
        repeat_interval_ms=inherited.repeat_interval_ms,
        goes_on=boolean(fields, "continue", False),
        mute=_named(fields, "mute_time_intervals", intervals),
        active=_named(fields, "active_time_intervals", intervals),
        routes=tuple(children),
        key=inherited.key,
        line=line_of(node),
    )


def _group_by(fields: Fields) -> tuple[str, ...]:
    labels = texts_of(fields, "group_by")
    if len(set(labels)) < len(labels):
        fields.complain("group_by", "names a label twice")
    if ALL_LABELS in labels and len(labels) > 1:
        fields.complain("group_by", f"'{ALL_LABELS}' stands for all labels: name no other beside it")
    return tuple(labels)


def _duration(fields: Fields, name: str, inherited: int, zero: bool = False) -> int:
    given = fields.duration_ms(name)
    if given == 0 and not zero:
        fields.complain(name, "must be greater than 0")
    return inherited if given is None else given


def _named(fields: Fields, name: str, intervals: Mapping[str, Intervals]) -> tuple[str, ...]:
    names = texts_of(fields, name)
    for item in names:
        if item not in intervals:
            known = ", ".join(intervals) or "none"
            fields.complain(name, f"there is no time interval {item!r}; there are {known}")
    return tuple(names)
