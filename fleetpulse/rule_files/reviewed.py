"""What the API says of rule files beside the rules in force and the series that are stored; it changes nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fleetpulse.api_client import call_api
from fleetpulse.errors import FleetpulseError

_PATH = "/api/fleet/v1/rules/check"


class Review(NamedTuple):
    """`errors` and `warnings` as lines; both None when nobody could be asked, and `why` says why."""

    errors: list[str] | None
    warnings: list[str] | None
    why: str = ""


def review(files: Iterable[Path]) -> Review:
    """Ask the API about files that can be read; complaints name them as they are given here."""
    body = {"files": [{"path": str(file), "text": file.read_text(encoding="utf-8")} for file in files]}
    try:
        answer = call_api("POST", _PATH, body)
        return Review([shown(each) for each in answer["errors"]], [shown(each) for each in answer["warnings"]])
    except FleetpulseError as error:
        return Review(None, None, str(error))
    except (KeyError, TypeError, ValueError):
        return Review(None, None, "what answers as the API is not one: set FLEETPULSE_API_URL")


def shown(problem: Mapping[str, Any]) -> str:
    """A complaint of the API as a line, with its place where it has one."""
    place = f"{problem['file']}:{problem['line'] or 1}: " if problem.get("file") else ""
    return f"{place}{problem['message']}"
