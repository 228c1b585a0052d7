"""`fleetpulse rules apply` and `rules diff`: make rule files what is in force, or show what that would change."""

import argparse
import difflib
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fleetpulse.api_client import call_api
from fleetpulse.arguments import Parser
from fleetpulse.rule_files.files import named, read_files
from fleetpulse.rule_files.reviewed import shown

_PATH = "/api/fleet/v1/rules/apply"
_LOOK = "`fleetpulse rules diff` with the same files"
_DONE = {"create": "created", "update": "changed", "delete": "deleted", "unchanged": "unchanged"}


def apply(argv: list[str]) -> int:
    """Apply files; 0 when all of it is in force. Nothing is changed when anything is wrong."""
    parser = _parser("apply", "Make the groups of rule files what is in force, all in one change.")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--author", default=_user(), help="who makes the change (default: %(default)s)")
    arguments = parser.parse_args(argv)
    answer = _asked(arguments, arguments.author, arguments.dry_run)
    for step in answer["steps"]:
        if step["action"] != "unchanged":
            word = f"would be {_DONE[step['action']]}" if arguments.dry_run else _DONE[step["action"]]
            print(f"{step['file']}: group {step['name']!r} {word}")
    for one in answer["warnings"]:
        print(f"warning: {shown(one)}", file=sys.stderr)
    counts = {action: sum(step["action"] == action for step in answer["steps"]) for action in _DONE}
    print(", ".join(f"{count} {_DONE[action]}" for action, count in counts.items()))
    return 0


def diff(argv: list[str]) -> int:
    """Show the difference; 1 when there is one, as `diff` does."""
    arguments = _parser(
        "diff", "Show what `apply` would change, as a unified diff; exit code 1: there is something."
    ).parse_args(argv)
    answer = _asked(arguments, _user(), dry_run=True)
    lines = [line for step in answer["steps"] for line in _diff(step)]
    print("".join(lines), end="")
    return 1 if lines else 0


def _parser(name: str, sentence: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"fleetpulse rules {name}", description=sentence, example=f"fleetpulse rules {name} rules/")
    parser.add_argument("path", nargs="+", type=Path, metavar="FILE|DIR", help="rule files, and folders with some")
    parser.add_argument(
        "--prune", action="store_true", help="delete the groups of these files and folders that are in none of them now"
    )
    return parser


def _asked(arguments: argparse.Namespace, author: str, dry_run: bool) -> Any:
    prune = [named(path) for path in arguments.path] if arguments.prune else None
    body = {"files": read_files(arguments.path), "author": author, "prune": prune, "dry_run": dry_run}
    return call_api("POST", _PATH, body, "" if dry_run else _LOOK)


def _diff(step: dict[str, str]) -> Iterator[str]:
    before, after = step["before"].splitlines(keepends=True), step["after"].splitlines(keepends=True)
    name = f"{step['file']} (group {step['name']!r})"
    return difflib.unified_diff(before, after, f"in force: {name}", f"{step['action']}: {name}")


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return f"user {os.getuid()}"
