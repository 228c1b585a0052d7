"""Fields that several parts of the configuration have: lists of texts, matchers old and new, secrets in files."""

from pathlib import Path

import yaml

from fleetpulse.errors import RuleError
from fleetpulse.notify.matchers import Matchers, make_matcher, parse_matchers
from fleetpulse.promql.syntax import Matcher
from fleetpulse.rules.fields import Fields

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


def texts_of(fields: Fields, name: str) -> list[str]:
    """A list of texts; a single text is a list of one."""
    if name not in fields:
        return []
    node = fields.node_of(name)
    if isinstance(node, yaml.ScalarNode):
        text = fields.text(name)
        return [] if text is None else [text]
    found = []
    for item in fields.items(name):
        if isinstance(item, yaml.ScalarNode):
            found.append(str(item.value))
        else:
            fields.complain(name, "must be a list of texts")
    return found


def boolean(fields: Fields, name: str, default: bool) -> bool:
    """true or false."""
    text = fields.text(name)
    if text is None:
        return default
    if text.lower() not in _TRUE + _FALSE:
        fields.complain(name, f"{text!r} is not true or false")
        return default
    return text.lower() in _TRUE


def matchers_of(fields: Fields, new: str, old: str, old_regex: str) -> Matchers:
    """The matchers of the list `new`, and of the two mappings that Alertmanager had before it."""
    found: list[Matcher] = []
    for text in texts_of(fields, new):
        try:
            found += parse_matchers(text)
        except RuleError as error:
            fields.complain(new, str(error), error.reason)
    for name, op in ((old, "="), (old_regex, "=~")):
        for label, value in fields.texts(name).items():
            try:
                found.append(make_matcher(label, op, value))
            except RuleError as error:
                fields.complain(name, str(error), error.reason)
    return tuple(found)


def secret(fields: Fields, name: str, folder: Path) -> str:
    """The text of a field, or of the file that ``<name>_file`` names; surrounding space is not part of it."""
    text, file = fields.text(name), fields.text(f"{name}_file")
    if text is not None and file is not None:
        fields.complain(f"{name}_file", f"is given together with '{name}': leave one of them out")
    if file is None:
        return text or ""
    try:
        return (folder / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fields.complain(f"{name}_file", f"the file {file!r} cannot be read: {error}")
        return ""
