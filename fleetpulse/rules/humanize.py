"""Numbers as Prometheus' templates print them. Source: template/template.go of Prometheus, fmt and strconv of Go."""

import math
from decimal import Decimal

_UP = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_DOWN = ("m", "u", "n", "p", "f", "a", "z", "y")


def go_float(value: float) -> str:
    """Go's ``%v``: the fewest digits that give the number back, with an exponent below 1e-4 and from 1e+06."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    number = Decimal(repr(value)).normalize()
    if -4 <= number.adjusted() < 6 or not value:
        return f"{number:f}"
    digits = "".join(map(str, number.as_tuple().digits))
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{number.adjusted():+03d}"


def significant(value: float) -> str:
    """Go's ``%.4g``."""
    return f"{value:.4g}" if math.isfinite(value) else go_float(value)


def humanize(value: float) -> str:
    """With a metric prefix: 1234567 is 1.235M."""
    if value == 0 or not math.isfinite(value):
        return significant(value)
    return _prefixed(value)


def humanize1024(value: float) -> str:
    """With a binary prefix: 2048 is 2ki."""
    if not math.isfinite(value) or abs(value) <= 1:
        return significant(value)
    prefix = ""
    for step in _UP:
        if abs(value) < 1024:
            break
        prefix = f"{step}i"
        value /= 1024
    return significant(value) + prefix


def humanize_percentage(value: float) -> str:
    """A ratio in percent: 0.1234 is 12.34%."""
    return f"{significant(value * 100)}%"


def humanize_duration(seconds: float) -> str:
    """Seconds as days to seconds, or with a small prefix: 3661 is 1h 1m 1s."""
    if not math.isfinite(seconds):
        return significant(seconds)
    if seconds == 0:
        return "0s"
    if abs(seconds) < 1:
        return f"{_prefixed(seconds)}s"
    sign = "-" if seconds < 0 else ""
    whole = int(abs(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole % 60}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole % 60}s"
    if minutes:
        return f"{sign}{minutes}m {whole % 60}s"
    return f"{sign}{significant(abs(seconds))}s"


def _prefixed(value: float) -> str:
    prefix = ""
    if abs(value) >= 1:
        for step in _UP:
            if abs(value) < 1000:
                break
            prefix = step
            value /= 1000
    else:
        for step in _DOWN:
            if abs(value) >= 1:
                break
            prefix = step
            value *= 1000
    return significant(value) + prefix
