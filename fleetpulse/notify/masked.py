"""A configuration's text without its secrets, for those who may see the configuration only."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import yaml

# Also addresses: those of a webhook or of apprise often carry a token.
SECRETS = ("password", "secret", "credentials", "token", "url", "_key")
_HIDDEN = "<secret>"


def masked(text: str, tree: yaml.Node) -> str:
    """The text with every secret's value replaced, as Alertmanager shows it."""
    spans = {(node.start_mark.index, node.end_mark.index): str(node.value) for node in _secrets(tree)}
    for (start, end), value in sorted(spans.items(), reverse=True):
        rest = "\n" if text[start:end].endswith("\n") else ""  # of a block of lines
        text = text[:start] + _hidden(value) + rest + text[end:]
    return text


def _hidden(value: str) -> str:
    """Of an address only where it is, and that it is one: amtool reads it."""
    try:
        parts = urlsplit(value)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}/{_HIDDEN}" if host else _HIDDEN


def _secrets(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode) and str(key.value).endswith(SECRETS):
                yield value
            else:
                yield from _secrets(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _secrets(item)
