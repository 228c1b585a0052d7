"""What Grafana does to a query before ClickHouse sees it: template variables, and the macros of the official
ClickHouse plugin with the semantics of its documentation (release 4.20)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MACRO = re.compile(r"\$__(\w+?)(?=\(|\W|$)")
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)")


@dataclass(frozen=True)
class View:
    """What a dashboard shows: the time range in milliseconds, the panel's interval, and each variable's values.

    `custom_all` holds the text of variables whose "All" is selected and that have a custom value for it; Grafana
    inserts that text as it is, whatever the format asked for.
    """

    from_ms: int
    to_ms: int
    interval_ms: int
    values: Mapping[str, Sequence[str]]
    custom_all: Mapping[str, str]


def expand(sql: str, view: View) -> str:
    """The query as ClickHouse gets it. Raises AssertionError for a macro or a variable that does not exist."""
    return _macros(_VARIABLE.sub(lambda match: _variable(match, view), sql), view)


def _variable(match: re.Match[str], view: View) -> str:
    name, style = match[1] or match[3], match[2]
    if name in view.custom_all:
        return view.custom_all[name]
    assert name in view.values, f"there is no variable {name}"
    values = view.values[name]
    if style == "singlequote":
        return ",".join("'" + value.replace("'", "\\'") + "'" for value in values)
    assert style in (None, "raw", "csv"), f"format {style} of variable {name} is not one of these tests'"
    return ",".join(values)


def _macros(sql: str, view: View) -> str:
    out, position = [], 0
    for match in _MACRO.finditer(sql):
        if match.start() < position:
            continue
        arguments, end = _arguments(sql, match.end())
        out.append(sql[position : match.start()])
        out.append(_expansion(match[1], [_macros(part, view) for part in arguments], view))
        position = end
    return "".join([*out, sql[position:]])


def _arguments(sql: str, start: int) -> tuple[list[str], int]:
    if sql[start : start + 1] != "(":
        return [], start
    depth = 0
    for end in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[end], 0)
        if depth == 0:
            return [part.strip() for part in sql[start + 1 : end].split(",")], end + 1
    raise AssertionError(f"an argument list of a macro does not end: {sql[start:]}")


def _expansion(name: str, arguments: Sequence[str], view: View) -> str:
    seconds_from, seconds_to = view.from_ms // 1000, view.to_ms // 1000
    seconds = max(view.interval_ms // 1000, 1)
    low, high = f"toDateTime({seconds_from})", f"toDateTime({seconds_to})"
    low_ms, high_ms = f"fromUnixTimestamp64Milli({view.from_ms})", f"fromUnixTimestamp64Milli({view.to_ms})"
    match [name, *arguments]:
        case ["timeFilter", column]:
            return f"{column} >= {low} AND {column} <= {high}"
        case ["timeFilter_ms", column]:
            return f"{column} >= {low_ms} AND {column} <= {high_ms}"
        case ["timeInterval", column]:
            return f"toStartOfInterval(toDateTime({column}), INTERVAL {seconds} second)"
        case ["timeInterval_ms", column]:
            return f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {view.interval_ms} millisecond)"
        case ["fromTime"]:
            return low
        case ["toTime"]:
            return high
        case ["fromTime_ms"]:
            return low_ms
        case ["toTime_ms"]:
            return high_ms
        case ["interval_s"]:
            return str(seconds)
    raise AssertionError(f"macro $__{name} with {len(arguments)} arguments is not one that these tests know")
