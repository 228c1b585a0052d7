"""Label matchers as in PromQL, and the condition on `registered_series` that they become.

Every name and value goes to the server as a bound parameter. Patterns are RE2 and match the whole value, as in
Prometheus.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleetpulse.errors import RejectedError
from fleetpulse.metric import unescape

OPERATORS = ("=~", "!~", "!=", "=")

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*', re.ASCII)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; an absent label has the empty value."""

    label: str
    operator: str
    value: str

    @property
    def pattern(self) -> str | None:
        """What the server compiles; None when the operator takes no regular expression."""
        return f"^(?s:{self.value})$" if "~" in self.operator else None


def parse_matcher(text: str) -> Matcher:
    """A matcher such as ``mode!="idle"``; raises RejectedError (reason ``matcher``) for other text."""
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise RejectedError(
            "matcher", f'{text[:200]!r} is not a matcher: write label="value", with one of {" ".join(OPERATORS)}'
        )
    return Matcher(match[1], match[2], unescape(match[3]))


_CONDITIONS = {
    "=": "tags[{%s:String}] = {%s:String}",
    "!=": "tags[{%s:String}] != {%s:String}",
    "=~": "match(tags[{%s:String}], {%s:String})",
    "!~": "NOT match(tags[{%s:String}], {%s:String})",
}


def conditions(matchers: Sequence[Matcher]) -> tuple[str, dict[str, Any]]:
    """``AND …`` for a WHERE clause, and its parameters."""
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    for number, matcher in enumerate(matchers):
        label, value = f"label_{number}", f"label_value_{number}"
        clauses.append(" AND " + _CONDITIONS[matcher.operator] % (label, value))
        parameters[label] = matcher.label
        parameters[value] = matcher.value if matcher.pattern is None else matcher.pattern
    return "".join(clauses), parameters
