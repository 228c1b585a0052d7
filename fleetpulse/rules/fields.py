"""Reading a rule file's YAML field by field: every complaint has file, line, field and what is allowed there."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from fleetpulse.errors import RuleError

_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)


class Complaints:
    """The errors of one file, gathered so that all are shown at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[RuleError] = []

    def add(self, node: yaml.Node, detail: str, reason: str = "field", field: str = "") -> None:
        """Complain about the line where a node starts; a field may be read, and found wrong, more than once."""
        error = RuleError(reason, detail, file=self.file, line=line_of(node), field=field)
        if str(error) not in map(str, self.errors):
            self.errors.append(error)


def line_of(node: yaml.Node) -> int:
    """The line, from 1, where a node starts."""
    return int(node.start_mark.line) + 1


def compose(file: str, text: str) -> yaml.Node | None:
    """The YAML tree of a file, None when it is empty. Raises RuleError, reason ``yaml``."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RuleError("yaml", f"not YAML: {error.problem}", file=file, line=line) from error
    except yaml.YAMLError as error:
        raise RuleError("yaml", f"not YAML: {error}", file=file, line=1) from error
    except RecursionError as error:
        raise RuleError(
            "yaml", "lists and mappings are nested too deep: a rule file has five levels", file=file, line=1
        ) from error


class Fields:
    """The fields of one mapping. A method that finds something wrong complains and gives the absent value."""

    def __init__(self, node: yaml.Node, what: str, allowed: Iterable[str], complaints: Complaints) -> None:
        self.node = node
        self._what = what
        self._complaints = complaints
        self._nodes: dict[str, yaml.Node] = {}
        allowed = tuple(allowed)
        if not isinstance(node, yaml.MappingNode):
            complaints.add(node, f"{what} must be a mapping with the fields {', '.join(allowed)}")
            return
        for key, value in node.value:
            name = str(key.value)
            if name not in allowed:
                complaints.add(key, f"{what}: unknown field {name!r}; {nearest(name, allowed)}", field=name)
            elif name in self._nodes:
                complaints.add(key, f"{what}: field {name!r} is given twice", field=name)
            else:
                self._nodes[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def node_of(self, name: str) -> yaml.Node:
        """Where a complaint about a field belongs."""
        return self._nodes.get(name, self.node)

    def complain(self, name: str, detail: str, reason: str = "field") -> None:
        """Complain about a field."""
        self._complaints.add(self.node_of(name), f"{self._what}: field '{name}': {detail}", reason, name)

    def text(self, name: str) -> str | None:
        """A scalar as it is written; an empty one is absent."""
        node = self._nodes.get(name)
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.complain(name, "must be text")
            return None
        return str(node.value) or None

    def required(self, name: str) -> str:
        """A text that must be there."""
        text = self.text(name)
        if text is None and not (name in self._nodes and not isinstance(self._nodes[name], yaml.ScalarNode)):
            self._complaints.add(self.node, f"{self._what}: field '{name}' is missing or empty", field=name)
        return text or ""

    def duration_ms(self, name: str) -> int | None:
        """A duration such as ``1h30m`` in milliseconds."""
        text = self.text(name)
        if text is None:
            return None
        milliseconds = parse_duration(text)
        if milliseconds is None:
            self.complain(name, f"{text!r} is not a duration: use numbers with y, w, d, h, m, s or ms, as in 1h30m")
        return milliseconds

    def texts(self, name: str) -> dict[str, str]:
        """A mapping of texts."""
        return {key: value for key, (value, _) in self.marked_texts(name).items()}

    def marked_texts(self, name: str) -> dict[str, tuple[str, yaml.Node]]:
        """A mapping of texts, each with its node."""
        node = self._nodes.get(name)
        if node is None or self._is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.complain(name, "must be a mapping of names to text")
            return {}
        found: dict[str, tuple[str, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(value, yaml.ScalarNode):
                self._complaints.add(key, f"{self._what}: {name} {key.value!r} must be text", field=name)
            elif key.value in found:
                self._complaints.add(key, f"{self._what}: {name} {key.value!r} is given twice", field=name)
            else:
                found[str(key.value)] = ("" if self._is_null(value) else str(value.value), value)
        return found

    def items(self, name: str) -> list[yaml.Node]:
        """The nodes of a list."""
        node = self._nodes.get(name)
        if node is None or self._is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.complain(name, "must be a list")
            return []
        nodes: list[yaml.Node] = node.value
        return nodes

    def _is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and bool(node.tag.endswith(":null"))


def parse_duration(text: str) -> int | None:
    """Milliseconds of Prometheus' duration text, None for other text."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if not match or not text:
        return None
    return sum(int(number) * unit for number, unit in zip(match.groups(), _UNITS_MS, strict=True) if number)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """What is allowed in place of a name, and which of it was perhaps meant."""
    allowed = tuple(allowed)
    near = difflib.get_close_matches(name, allowed, n=1)
    listed = f"allowed are {', '.join(allowed)}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def find_duplicates(names: Iterable[Any]) -> Mapping[Any, list[int]]:
    """The names that occur more than once, with their places."""
    places: dict[Any, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return {name: found for name, found in places.items() if len(found) > 1}
