"""A rule file cut into its groups: each as a rule file of its own, with its comments where that is possible."""

import yaml

from fleetpulse.rules.fields import compose

_INDENT = 2  # of a group's dash in what is made


def split(file: str, text: str) -> dict[str, str]:
    """Group name → a rule file with that group alone. The file is right: `load.read_text` has found no error.

    A group keeps the text that it has in the file. One that cannot stand alone so (flow style, an anchor of another
    group) is written anew.
    """
    tree = compose(file, text)
    if not isinstance(tree, yaml.MappingNode):
        return {}
    items = next((value for key, value in tree.value if key.value == "groups"), None)
    nodes = items.value if isinstance(items, yaml.SequenceNode) else []
    return {_name(node): _cut(text.splitlines(), node) or _written(node) for node in nodes}


def _name(node: yaml.MappingNode) -> str:
    return next(str(value.value) for key, value in node.value if key.value == "name")


def _cut(lines: list[str], node: yaml.MappingNode) -> str | None:
    """The lines of a group, moved to where its dash has two spaces before it; None when that reads differently."""
    first, end = node.start_mark.line, node.end_mark
    ends_inside = end.line < len(lines) and bool(lines[end.line][: end.column].strip())
    own = lines[first : end.line + 1 if ends_inside else end.line]
    dash = len(own[0]) - len(own[0].lstrip()) if own else 0
    while own and _is_idle(own[-1], dash):
        own.pop()
    if not own or not own[0].lstrip().startswith("- "):
        return None
    moved = [_moved(line, _INDENT - dash) for line in own]
    cut = "\n".join(["groups:", *moved, ""])
    return cut if _same(cut, node) else None


def _is_idle(line: str, dash: int) -> bool:
    """Whether a line after a group is not the group's: blank, or a comment as far out as the dash."""
    bare = line.lstrip()
    return not bare or (bare.startswith("#") and len(line) - len(bare) <= dash)


def _moved(line: str, by: int) -> str:
    if not line.strip():
        return ""
    return " " * by + line if by >= 0 else line[-by:]


def _same(cut: str, node: yaml.MappingNode) -> bool:
    try:
        tree = yaml.compose(cut, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return False
    if not isinstance(tree, yaml.MappingNode):
        return False
    (found,) = tree.value[0][1].value
    return _plain(found) == _plain(node)


def _plain(node: yaml.Node) -> object:
    """What a node says, whatever its style."""
    if isinstance(node, yaml.MappingNode):
        return [(_plain(key), _plain(value)) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return (node.tag, node.value)


def _written(node: yaml.MappingNode) -> str:
    tag = "tag:yaml.org,2002:map"
    key = yaml.ScalarNode("tag:yaml.org,2002:str", "groups")
    groups = yaml.SequenceNode("tag:yaml.org,2002:seq", [node], flow_style=False)
    tree = yaml.MappingNode(tag, [(key, groups)], flow_style=False)
    head, *rest = str(yaml.serialize(tree, allow_unicode=True, width=120)).splitlines()
    return "\n".join([head, *(_moved(line, _INDENT) for line in rest), ""])
