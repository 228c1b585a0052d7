"""Windows and offsets that reach further back than raw samples are kept: they could never be full."""

import re
from collections.abc import Iterable

from fleetpulse.errors import RuleError
from fleetpulse.rules.fields import parse_duration
from fleetpulse.rules.model import Rule

DAY_MS = 86_400_000
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*")
_READ = re.compile(
    r"\[\s*(?P<window>[0-9a-z]+)[^]]*\](?:\s*offset\s+(?P<too>[0-9a-z]+))?|\boffset\s+(?P<offset>[0-9a-z]+)"
)


def too_long(rules: Iterable[Rule], raw_days: int) -> list[RuleError]:
    """A complaint for each rule with such a window, whether it runs on the stream or waits for the ruler."""
    return [
        RuleError(
            "retention",
            f"{rule.kind} rule {rule.name!r}: field 'expr': {_said(read)} than raw samples are kept, "
            f"{raw_days} days: make it shorter, or keep them longer (FLEETPULSE_INGEST_RAW_RETENTION_DAYS)",
            file=rule.file,
            line=rule.line,
            field="expr",
        )
        for rule in rules
        for read in _READ.finditer(_TEXT.sub('""', rule.expr))
        if sum(parse_duration(text) or 0 for text in read.groups("")) > raw_days * DAY_MS
    ]


def _said(read: re.Match[str]) -> str:
    if read["offset"]:
        return f"the offset {read['offset']} reaches further back"
    if read["too"]:
        return f"the window [{read['window']}] with its offset {read['too']} reaches further back"
    return f"the window [{read['window']}] is longer"
