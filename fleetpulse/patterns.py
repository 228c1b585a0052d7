"""Regular expressions that users write: RE2, as in Prometheus and Alertmanager, in time linear in the text.

They match the whole value, the dot takes newlines, and ``\\w``, ``\\d`` and ``\\s`` are ASCII (syntax:
github.com/google/re2/wiki/Syntax). Python's `re` may take for ever with ``(a+)+$``: it reads only expressions of ours.
"""

import re
from functools import lru_cache
from typing import Any

import re2

from fleetpulse.errors import RuleError

_SHOWN = 200  # characters of an expression in a message
_KEPT = 1024  # compiled expressions

_FOREIGN = {
    "(?=": "look-ahead",
    "(?!": "look-ahead",
    "(?<=": "look-behind",
    "(?<!": "look-behind",
    "(?P": "a back-reference by name, as (?P=name),",
    "(?>": "an atomic group",
    "(?(": "a condition on a group",
    "(?#": "a comment",
    "*+": "a possessive quantifier",
    "++": "a possessive quantifier",
    "?+": "a possessive quantifier",
    "\\Z": "\\Z",
    "\\C": "\\C, which splits characters,",
}


def check(pattern: str, where: str, *, capture: bool = False) -> None:
    """Raise RuleError, reason ``regex``, for what is no expression of RE2's syntax; `where` names the matcher.

    `capture` is for expressions whose groups are read.
    """
    try:
        (_capturing if capture else _matcher)(pattern)
    except UnicodeEncodeError:
        cause = "a character of it is half of a surrogate pair: write the whole character"
    except re2.error as error:
        cause = _explained(error.args[0].decode(errors="replace"))
    else:
        if not re.search(r"(?<!\\)(?:\\\\)*\\C", pattern):
            return
        cause = _explained("invalid escape sequence: \\C")  # RE2 has it for bytes, Prometheus refuses it
    raise RuleError("regex", f"{where}: regular expression {_shortened(pattern)!r}: {cause}")


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text matches a checked expression."""
    encoded = text.encode("utf-8", "surrogatepass")
    return bool(_matcher(pattern)(_ANCHOR, encoded, 0, len(encoded))[0] != _NOWHERE)


def groups(pattern: str, text: str) -> dict[str, str] | None:
    """The groups by number and by name where the whole text matches a checked expression; without a part: empty."""
    compiled = _capturing(pattern)
    found = compiled.fullmatch(text.encode("utf-8", "replace").decode())
    if found is None:
        return None
    numbered = {str(number): found[number] or "" for number in range(compiled.groups + 1)}
    return numbered | {name: numbered[str(number)] for name, number in compiled.groupindex.items()}


def _options(*, capture: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.never_capture = not capture
    return options


@lru_cache(maxsize=_KEPT)
def _capturing(pattern: str) -> Any:
    return re2.compile(pattern, _options(capture=True))


@lru_cache(maxsize=_KEPT)
def _matcher(pattern: str) -> Any:
    """The binding's own match, since the package's wrapper around it takes eight times as long."""
    return re2.compile(pattern, _options(capture=False))._regexp.Match


_ANCHOR = re2._re2.RE2.Anchor.ANCHOR_BOTH
_NOWHERE = (-1, -1)


def _explained(message: str) -> str:
    what, _, place = message.partition(": ")
    reference = re.fullmatch(r"\\[1-9]", place)
    foreign = "a back-reference" if reference else _FOREIGN.get(place)
    if foreign is None:
        return _shortened(message)
    shown = "" if place in foreign else f" {place}"
    remedy = "; write \\z or nothing, since the whole value has to match" if place == "\\Z" else ""
    return f"{what}: {foreign}{shown} is not in RE2's syntax, which Prometheus and Alertmanager read{remedy}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"
