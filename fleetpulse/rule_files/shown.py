"""`fleetpulse rules list` and `rules export`: the rules in force, as a table or as rule files."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetpulse.api_client import call_api
from fleetpulse.arguments import Parser
from fleetpulse.errors import RuleError
from fleetpulse.rules.split import split

_PATH = "/api/fleet/v1/rules"
_HEAD = ("GROUP", "RULE", "KIND", "STATE", "RUNS ON", "OWNER", "VERSION")


def list_rules(argv: list[str]) -> int:
    """Print the rules in force."""
    parser = Parser(prog="fleetpulse rules list", description="List the rules in force.")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    arguments = parser.parse_args(argv)
    answer = call_api("GET", _PATH)
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    rows = [_row(group, rule) for group in answer["groups"] for rule in group["rules"]]
    print("\n".join(_table([_HEAD, *rows])))
    return 0


def export(argv: list[str]) -> int:
    """Print the rules in force as one rule file, or write a file a group."""
    parser = Parser(
        prog="fleetpulse rules export",
        description="Print the rules in force as one rule file, or write one file a group.",
        example="fleetpulse rules export --owner api --to rules/",
    )
    parser.add_argument("--owner", choices=("file", "api"), help="only groups of this owner")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write a file a group into this folder")
    arguments = parser.parse_args(argv)
    groups = [group for group in call_api("GET", _PATH)["groups"] if arguments.owner in (None, group["owner"])]
    if arguments.to is None:
        print(
            "".join(["groups:\n" if groups else "groups: []\n", *(_items(group["text"]) for group in groups)]), end=""
        )
        return 0
    _write(arguments.to, groups)
    return 0


def _row(group: dict[str, Any], rule: dict[str, Any]) -> tuple[str, ...]:
    runs_on = rule["engine"] if rule["waiting"] is None else "waits for the ruler"
    if rule["waiting"] is None and rule["health"] == "err":
        runs_on += ", fails"
    owner = group["file"] if group["owner"] == "file" else f"api, {group['author']}"
    return group["name"], rule["name"], rule["kind"], rule["state"] or "", runs_on, owner, str(group["version"])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _items(text: str) -> str:
    """The group of a text, without the line ``groups:``."""
    (alone,) = split("", text).values()
    return alone.partition("\n")[2]


def _write(folder: Path, groups: Sequence[dict[str, Any]]) -> None:
    names: dict[str, str] = {}
    for group in groups:
        name = re.sub(r"[^\w.-]+", "-", group["name"]).strip("-.") or "group"
        if name in names:
            name = f"{name}-{len(names)}"
        names[name] = group["text"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in names.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
            print(folder / f"{name}.yaml")
    except OSError as error:
        raise RuleError("file", f"{folder} cannot be written: {(error.strerror or repr(error)).lower()}") from error
