"""How deep an expression may be: checked on the text, because the grammar's own stack has no guard."""

import re

from fleetpulse.errors import RuleError

# Of 1,671 expressions of three public collections of rules the largest has 17 operators and 7 open parentheses; with
# 180 operators the stack of a thread of the API (Python 3.11) ends.
DEEPEST = 100  # parentheses and brackets that are open at once
MOST_OPERATORS = 150  # each may be a level of the tree: a + b + c … leans to one side

_TOKEN = re.compile(
    r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*"  # what is read over
    r"|\{|\}"
    r"|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<operator>==|!=|>=|<=|[-+*/%^<>]|\b(?:and|or|unless|atan2)\b)",
    re.DOTALL | re.IGNORECASE,
)


def check_nesting(text: str) -> None:
    """Raise RuleError, reason ``syntax``, for what no rule needs and no stack holds."""
    depth = operators = 0
    in_braces = False
    for token in _TOKEN.finditer(text):
        if token[0] in "{}":
            in_braces = token[0] == "{"
        elif token["open"]:
            depth += 1
            if depth > DEEPEST:
                raise _too_much(f"more than {DEEPEST} parentheses are open at once", text, token.start())
        elif token["close"]:
            depth = max(0, depth - 1)
        elif token["operator"] and not in_braces:
            operators += 1
            if operators > MOST_OPERATORS:
                raise _too_much(f"there are more than {MOST_OPERATORS} operators", text, token.start())


def _too_much(what: str, text: str, place: int) -> RuleError:
    line = text.count("\n", 0, place) + 1
    column = place - (text.rfind("\n", 0, place) + 1) + 1
    return RuleError(
        "syntax",
        f"{what} (line {line}, column {column} of the expression): record parts of it under names of their own "
        "and read those",
    )
