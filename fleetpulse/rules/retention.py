"""Windows that are longer than raw samples are kept: they could never be full."""

import re
from collections.abc import Iterable

from fleetpulse.errors import RuleError
from fleetpulse.rules.fields import parse_duration
from fleetpulse.rules.model import Rule

DAY_MS = 86_400_000
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*")
_WINDOW = re.compile(r"\[\s*([0-9a-z]+)")


def too_long(rules: Iterable[Rule], raw_days: int) -> list[RuleError]:
    """A complaint for each rule with such a window, whether it runs on the stream or waits for the ruler."""
    return [
        RuleError(
            "retention",
            f"{rule.kind} rule {rule.name!r}: field 'expr': the window [{window}] is longer than raw samples are kept, "
            f"{raw_days} days: make it shorter, or keep them longer (FLEETPULSE_INGEST_RAW_RETENTION_DAYS)",
            file=rule.file,
            line=rule.line,
            field="expr",
        )
        for rule in rules
        for window in _WINDOW.findall(_TEXT.sub('""', rule.expr))
        if (parse_duration(window) or 0) > raw_days * DAY_MS
    ]
