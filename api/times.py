"""Times and durations as parameters: RFC 3339 or Unix seconds; seconds or Prometheus durations."""

import math
import re
from datetime import UTC, datetime

from api.errors import ParameterError
from fleetpulse.clock import to_rfc3339

LATEST_MS = 4_102_444_800_000  # the year 2100: what a DateTime column of ClickHouse can hold
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])", re.ASCII)
_UNESCAPED_PLUS = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) (\d\d:?\d\d)\Z", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)


def parse_time(parameter: str, text: str) -> int:
    """Unix milliseconds of ``2026-01-02T03:04:05Z`` or ``1767322800.5``; raises ParameterError.

    An offset's plus that was not escaped in a URL arrives as a space, and is taken as the plus.
    """
    if _NUMBER.fullmatch(text):
        milliseconds = math.floor(float(text) * 1000)
    else:
        try:
            moment = datetime.fromisoformat(_UNESCAPED_PLUS.sub(r"\1+\2", text))
        except ValueError:
            raise ParameterError(
                parameter, f"{text[:100]!r} is not a time: use RFC 3339, e.g. {to_rfc3339(0)}, or Unix seconds"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        milliseconds = math.floor(moment.timestamp() * 1000)
    if not 0 <= milliseconds <= LATEST_MS:
        raise ParameterError(parameter, f"{text[:100]!r} is not between the years 1970 and 2100")
    return milliseconds


def parse_duration(parameter: str, text: str) -> int:
    """Milliseconds of ``15``, ``0.5``, ``5m`` or ``1h30m``; raises ParameterError."""
    if _NUMBER.fullmatch(text):
        return math.floor(float(text) * 1000)
    parts = _DURATION.findall(text[:100])
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ParameterError(
            parameter, f"{text[:100]!r} is not a duration: use seconds, or numbers with ms, s, m, h, d, w, y, e.g. 5m"
        )
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


def show_duration(milliseconds: int) -> str:
    """The shortest form with one unit, e.g. ``90s``."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds % _UNITS_MS[unit] == 0:
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"
