"""Where an expression stops being PromQL: the grammar says for most mistakes no more than that there is one."""

import re
from collections.abc import Iterator

import promql_parser as grammar

_MOST_TOKENS = 200
_TOKEN = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|[\w:.]+|[=!<>]=|[=!]~|\S")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
# What may come next, wherever one is: nothing, an operand, labels with one, a matcher, its value, a range.
_FILLERS = ("", " x", " (x)", " (x) x", " (x) (x)", " x[5m]", ' a="b"', '="b"', ' "b"', "5m", " bool x")


def misplaced(text: str) -> str:
    """A sentence about the first token with which the text cannot go on; empty when that is not found."""
    tokens = list(_TOKEN.finditer(text))[:_MOST_TOKENS]
    for token in tokens:
        if not _may_go_on(text[: token.end()]):
            return f"unexpected {token.group()[:40]!r} at column {token.start() + 1}"
    return "something is missing at its end" if tokens and tokens[-1].end() == len(text.rstrip()) else ""


def _may_go_on(start: str) -> bool:
    closers = "".join(reversed(list(_open(start))))
    return any(_is_whole(start + filler + closers) for filler in _FILLERS)


def _open(start: str) -> Iterator[str]:
    stack: list[str] = []
    for token in _TOKEN.finditer(start):
        if token.group() in _CLOSING:
            stack.append(_CLOSING[token.group()])
        elif stack and token.group() == stack[-1]:
            stack.pop()
    yield from stack


def _is_whole(text: str) -> bool:
    try:
        grammar.parse(text)
    except ValueError as error:
        # What only types or names forbid is a matter of what else is there.
        return "expected type" in str(error) or "argument(s)" in str(error)
    return True
