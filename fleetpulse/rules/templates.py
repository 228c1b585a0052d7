"""The Go templates of alerts' labels and annotations, as far as rule files use them.

``{{ $labels.x }}`` (also ``.Labels.x``; absent: empty), ``{{ $value }}`` (``.Value``), text and number literals,
pipes, and the functions of FUNCTIONS. Everything else is an error when the rule is loaded.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from fleetpulse.errors import RuleError
from fleetpulse.rules.humanize import go_float, humanize, humanize1024, humanize_duration, humanize_percentage

Value: TypeAlias = str | float
Term: TypeAlias = Callable[[Mapping[str, str], float], Value]

_ACTION = re.compile(r"\{\{(- )?((?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^\"`])*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<label>(?:\$labels|\.Labels)\.[A-Za-z_]\w*)|(?P<value>\$value\b|\.Value\b)|(?P<word>[$.]?[A-Za-z_][\w.]*)"""
    r"""|(?P<sign>[|()]))"""
)
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_]\w*)")
_VERB = re.compile(r"%([-+ 0#]*\d*(?:\.\d+)?)(.)")
_MOST_LEVELS = 50  # of one action: each is a call within a call
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t"}


class Template:
    """A text with actions, ready to be rendered."""

    def __init__(self, text: str) -> None:
        """Raises RuleError, reason ``template``, for what is not supported."""
        self._parts: list[str | Term] = []
        self.labels: set[str] = set()  # that it reads
        position = 0
        trim = False
        while (start := text.find("{{", position)) >= 0:
            action = _ACTION.match(text, start)
            if action is None:  # to look on behind it would take long, and mean something else
                raise RuleError("template", f"template {text[start : start + 200]!r}: '{{{{' without '}}}}'")
            before = text[position : action.start()]
            before = before.lstrip() if trim else before
            self._parts.append(before.rstrip() if action[1] else before)
            if not re.fullmatch(r"\s*/\*.*\*/\s*", action[2], re.DOTALL):
                self._parts.append(_Action(action[2]).term())
                self.labels.update(_LABEL.findall(action[2]))
            position, trim = action.end(), bool(action[3])
        rest = text[position:]
        self._parts.append(rest.lstrip() if trim else rest)

    def render(self, labels: Mapping[str, str], value: float) -> str:
        """The text for an alert's labels and value."""
        return "".join(part if isinstance(part, str) else _text(part(labels, value)) for part in self._parts)


class _Action:
    """What stands between the braces: ``command | command``; a command is a function and terms, or one term."""

    def __init__(self, source: str) -> None:
        self._source = source.strip()
        self._tokens = self._tokenised(source)
        self._next = 0

    def term(self) -> Term:
        term = self._pipeline()
        if self._next < len(self._tokens):
            raise self._error(f"unexpected {self._tokens[self._next][1]!r}")
        return term

    def _tokenised(self, source: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position = 0
        source = source.rstrip()
        while position < len(source):
            match = _TOKEN.match(source, position)
            if match is None:
                raise self._error(f"unexpected {source[position:].strip()[:20]!r}")
            assert match.lastgroup is not None
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        if sum(text in "(|" for _, text in tokens) > _MOST_LEVELS:
            raise self._error(f"there are more than {_MOST_LEVELS} '(' and '|': none is that long")
        return tokens

    def _error(self, what: str) -> RuleError:
        shown = self._source if len(self._source) <= 200 else f"{self._source[:200]} …"
        return RuleError("template", f"template action {{{{ {shown} }}}}: {what}")

    def _pipeline(self) -> Term:
        term = self._command(None)
        while self._next < len(self._tokens) and self._tokens[self._next][1] == "|":
            self._next += 1
            term = self._command(term)
        return term

    def _command(self, piped: Term | None) -> Term:
        if self._next == len(self._tokens):
            raise self._error("a value is missing")
        kind, text = self._tokens[self._next]
        if kind != "word":
            if piped is not None:
                raise self._error(f"{text!r} is not a function")
            return self._operand()
        self._next += 1
        arguments: list[Term] = []
        while self._next < len(self._tokens) and self._tokens[self._next][1] not in "|)":
            arguments.append(self._operand())
        if piped is not None:
            arguments.append(piped)
        return self._call(text, arguments)

    def _operand(self) -> Term:
        kind, text = self._tokens[self._next]
        self._next += 1
        if kind == "label":
            name = text.rpartition(".")[2]
            return lambda labels, value: labels.get(name, "")
        if kind == "value":
            return lambda labels, value: value
        if kind in ("text", "number"):
            literal: Value = _unquoted(text) if kind == "text" else float(text)
            return lambda labels, value: literal
        if text == "(":
            term = self._pipeline()
            if self._next == len(self._tokens) or self._tokens[self._next][1] != ")":
                raise self._error("')' is missing")
            self._next += 1
            return term
        if kind == "word":
            return self._call(text, [])
        raise self._error(f"unexpected {text!r}")

    def _call(self, name: str, arguments: list[Term]) -> Term:
        function = FUNCTIONS.get(name)
        if function is None:
            near = difflib.get_close_matches(name, FUNCTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(FUNCTIONS)}"
            raise self._error(f"unknown function or variable {name!r}; {hint}")
        if not arguments or (name != "printf" and len(arguments) != 1):
            raise self._error(f"{name} takes {'a format and values' if name == 'printf' else 'one value'}")
        return lambda labels, value: function([argument(labels, value) for argument in arguments])


def _text(value: Value) -> str:
    return value if isinstance(value, str) else go_float(value)


def _number(value: Value) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])


def _numeric(function: Callable[[float], str]) -> Callable[[Sequence[Value]], Value]:
    return lambda arguments: function(_number(arguments[0]))


def _textual(function: Callable[[str], str]) -> Callable[[Sequence[Value]], Value]:
    return lambda arguments: function(_text(arguments[0]))


def _printf(arguments: Sequence[Value]) -> str:
    """Go's Sprintf of floats and strings."""
    values = iter(arguments[1:])

    def verb(match: re.Match[str]) -> str:
        flags, kind = match[1], match[2]
        if kind == "%":
            return "%"
        value = next(values, None)
        if value is None:
            return f"%!{kind}(MISSING)"
        if kind in "feEgG" and (kind not in "gG" or "." in flags):
            number = _number(value)
            return f"%{flags}{kind}" % number if number - number == 0 else f"%{_width(flags)}s" % go_float(number)
        if kind in "vsgG":
            return f"%{_width(flags)}s" % _text(value)
        if kind == "q":
            return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"%!{kind}({_text(value)})"

    return _VERB.sub(verb, _text(arguments[0]))


def _width(flags: str) -> str:
    return flags.partition(".")[0].replace("0", "", 1) if flags[:1] == "0" else flags.partition(".")[0]


def _strip_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)


FUNCTIONS: Mapping[str, Callable[[Sequence[Value]], Value]] = {
    "humanize": _numeric(humanize),
    "humanize1024": _numeric(humanize1024),
    "humanizeDuration": _numeric(humanize_duration),
    "humanizePercentage": _numeric(humanize_percentage),
    "printf": _printf,
    "stripPort": _textual(_strip_port),
    "title": _textual(lambda text: re.sub(r"\b\w", lambda match: match[0].upper(), text)),
    "toLower": _textual(str.lower),
    "toUpper": _textual(str.upper),
}
