"""`fleetpulse settings`: every setting with its value, type, default and sentence; secrets masked."""

import argparse
import json
import os
import types
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fleetpulse import settings
from fleetpulse.errors import SettingsError


def main(argv: list[str]) -> int:
    """Print the table; exit 1 when a variable is wrong or is no setting."""
    parser = argparse.ArgumentParser(prog="fleetpulse settings", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    rows, problems = table()
    if arguments.json:
        print(json.dumps({"settings": rows, "problems": problems}, indent=2))
    else:
        _print(rows, problems)
    return 1 if problems else 0


def table() -> tuple[list[dict[str, str]], list[str]]:
    """One row a setting, and a sentence for each variable that is wrong."""
    rows, problems = [_DATA_DIR | {"value": str(settings.data_dir())}], unknown_variables()
    for group in settings.GROUPS:
        try:
            loaded: Any = settings.load(group)
        except SettingsError as error:
            problems.append(str(error))
            loaded = group()
        hints = get_type_hints(group)
        for item in fields(group):
            value, variable = getattr(loaded, item.name), settings.variable_of(group, item.name)
            file_form = f" Or {variable}_FILE names a file with it." if item.metadata["secret"] else ""
            rows.append(
                {
                    "group": str(group.__doc__),
                    "variable": variable,
                    "value": "********" if item.metadata["secret"] and value else str(value),
                    "type": _type_name(hints[item.name]),
                    "default": str(item.default),
                    "meaning": item.metadata["sentence"] + file_form,
                }
            )
    return rows, problems


def unknown_variables() -> list[str]:
    """A sentence for each `FLEETPULSE_…` variable that is no setting, with the nearest one that is."""
    known = settings.known_variables()
    problems = []
    for variable in sorted(os.environ):
        if variable.startswith(settings.PREFIX) and variable not in known and variable not in _NOT_SETTINGS:
            nearest = get_close_matches(variable, known, n=1)
            problems.append(f"{variable} is not a setting" + (f": did you mean {nearest[0]}?" if nearest else ""))
    return problems


_DATA_DIR = {  # belongs to no group: it decides where the other values are looked up
    "group": "Where everything lies.",
    "variable": settings.DATA_DIR_VARIABLE,
    "value": "",
    "type": "Path",
    "default": str(settings.DEFAULT_DATA_DIR),
    "meaning": "Folder of data, logs, secrets and what runs; a relative one is below the working directory.",
}
_NOT_SETTINGS = frozenset({"FLEETPULSE_REQUIRE_SERVICES"})  # read by the tests alone


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(value or "''" for value in get_args(kind))
    if isinstance(kind, types.UnionType):
        return " | ".join(_type_name(part) for part in get_args(kind))
    return str(kind.__name__)


def _print(rows: list[dict[str, str]], problems: list[str]) -> None:
    group = ""
    for row in rows:
        if row["group"] != group:
            print(f"{os.linesep if group else ''}# {row['group']}")
            group = row["group"]
        default = row["default"] or "empty"
        print(f"{row['variable']}={row['value']}  ({row['type']}; default {default})\n    {row['meaning']}")
    for problem in problems:
        print(f"! {problem}")
