"""What a benchmark hands back: figures, goals, machine and peers as JSON, and a table to read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.goals import Goal
from bench.machine import in_one_line, load


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `samples` None: the benchmark's own bounded default."""

    folder: Path
    samples: int | None = None
    peers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """One benchmark's outcome. `tables`: (title, head, rows) to print; `notes`: what a reader has to know."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    peers: dict[str, str | None] = field(default_factory=dict)
    tables: list[tuple[str, Sequence[str], Sequence[Sequence[Any]]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "benchmark": self.name,
            "machine": {**machine, "load_at_end": load()},
            "peers": self.peers,
            "figures": self.figures,
            "goals": [goal.as_json() for goal in self.goals],
            "notes": self.notes,
        }

    def as_text(self, machine: Mapping[str, Any]) -> str:
        """For the terminal."""
        lines = [f"{self.name}: {in_one_line(dict(machine))}"]
        lines += [f"{name} {version or 'not found: no figure'}" for name, version in self.peers.items()]
        for title, head, rows in self.tables:
            lines += ["", title, *table(head, rows)]
        if self.goals:
            rows = [_goal_row(goal) for goal in self.goals]
            lines += ["", "Goals", *table(("goal", "target", "measured", "met"), rows)]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)])


def write(path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """One benchmark as an object, several as a list."""
    path.write_text(json.dumps(reports[0] if len(reports) == 1 else list(reports), indent=1) + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns as wide as their widest cell, numbers to the right."""
    cells = [list(head), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    right = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def shown(cell: Any) -> str:
    """A number with three figures that count and thin thousands; None as a dash."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int | float):
        return f"{cell:,.0f}" if abs(cell) >= 100 or cell == int(cell) else f"{cell:.3g}"
    return str(cell)


def mib(size: float | None) -> float | None:
    """Bytes in MiB."""
    return None if size is None else size / 2**20


def _goal_row(goal: Goal) -> Sequence[Any]:
    return (goal.name, f"{goal.comparison} {shown(goal.target)} {goal.unit}".rstrip(), shown(goal.measured), goal.met)
