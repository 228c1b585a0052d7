"""Alertmanager's label matchers as text: ``severity="critical"``, ``{a=b, c=~"d|e"}``.

Source of the format: prometheus/alertmanager, "Matching alerts" in its configuration's documentation.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from fleetpulse import patterns
from fleetpulse.errors import RuleError
from fleetpulse.promql.syntax import Matcher

Matchers: TypeAlias = tuple[Matcher, ...]

_MATCHER = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["n\\])')
_UNQUOTED = {'"': '"', "n": "\n", "\\": "\\"}


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels pass every matcher; an absent label is the empty string."""
    return all(matcher.matches(labels.get(matcher.name, "")) for matcher in matchers)


def make_matcher(name: str, op: str, value: str) -> Matcher:
    """A checked matcher; raises RuleError, reason ``regex``."""
    if op in ("=~", "!~"):
        patterns.check(value, f"matcher {name}{op}")
    return Matcher(name, op, value)


def parse_matchers(text: str) -> Matchers:
    """One or several matchers, with or without braces. Raises RuleError, reason ``matcher`` or ``regex``."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    return tuple(_matcher(part) for part in _parts(inner) if part.strip())


def shown(matchers: Iterable[Matcher]) -> str:
    """The text of matchers, in braces."""
    return "{" + ",".join(_shown(matcher) for matcher in matchers) + "}"


def _shown(matcher: Matcher) -> str:
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{matcher.name}{matcher.op}"{value}"'


def _parts(text: str) -> list[str]:
    """Split at the commas that are not between quotes."""
    parts, quoted, escaped = [""], False, False
    for character in text:
        if character == "," and not quoted:
            parts.append("")
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and not escaped
        parts[-1] += character
    return parts


def _matcher(text: str) -> Matcher:
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise RuleError("matcher", f'{text.strip()!r} is not a matcher: write them as in severity=~"warning|critical"')
    name, op, raw = match[1], match[2], match[3].strip()
    quoted = _QUOTED.fullmatch(raw)
    value = quoted[1] if quoted else raw
    if re.search(r'(?<!\\)(?:\\\\)*"', value):
        raise RuleError("matcher", f'matcher {text.strip()!r}: a double quote inside the value is written \\"')
    return make_matcher(name, op, _ESCAPED.sub(lambda escape: _UNQUOTED[escape[1]], value))
