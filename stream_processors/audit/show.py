"""An audit as a table for people, and as JSON for programs (docs/audit.md)."""

from collections.abc import Sequence
from typing import Any

from fleetpulse.clock import to_rfc3339
from stream_processors.audit.account import COLUMNS, Row
from stream_processors.audit.run import HOUR_MS, Audit

_NUMBERS = ("sent", *COLUMNS)


def as_json(audit: Audit, *, everything: bool) -> dict[str, Any]:
    """The document that docs/audit.md describes."""
    return {
        "since": _time(audit.first_hour),
        "until": _time(audit.end_hour),
        "explained": audit.report.balanced,
        "totals": _totals(audit),
        "unexplained_samples": audit.report.unexplained,
        "resent_samples": audit.resent,
        "lost_messages": audit.lost_messages,
        "waiting_messages": audit.waiting_messages,
        "unread_messages": audit.unread_messages,
        "rows": [
            {"host": row.host, "hour": _time(row.hour), **{name: getattr(row, name) for name in _NUMBERS}}
            for row in _rows(audit, everything)
        ],
        "offsets": [
            {
                "topic": hole.place.topic,
                "partition": hole.place.partition,
                "first": hole.first,
                "next": hole.next,
                "problem": hole.problem,
            }
            for hole in audit.report.holes
        ],
        "left_out": [{"hour": _time(hour), "reason": why} for hour, why in sorted(audit.left_out.items())],
    }


def as_lines(audit: Audit, *, everything: bool) -> list[str]:
    """A table of the unexplained rows, or of all, with the totals; then what else there is to say, then the verdict."""
    rows = _rows(audit, everything)
    cells = [["hour (UTC)", "host", *_NUMBERS]]
    cells += [[_time(row.hour)[:13] + "h", row.host, *(str(getattr(row, name)) for name in _NUMBERS)] for row in rows]
    cells.append(["total", "", *map(str, _totals(audit).values())])
    return [*_aligned(cells), *_remarks(audit), _verdict(audit)]


def _remarks(audit: Audit) -> list[str]:
    said = []
    if audit.resent:
        said.append(f"{audit.resent} samples came more than once from their producers; each time counts as sent")
    if audit.lost_messages:
        said.append(f"{audit.lost_messages} messages were deleted by Kafka before ingest read them")
    if audit.waiting_messages:
        said.append(f"{audit.waiting_messages} messages wait in Kafka")
    if audit.unread_messages:
        said.append(
            f"{audit.unread_messages} more wait there and were not looked at: run again, or with --read-seconds"
        )
    for reason in sorted(set(audit.left_out.values())):
        hours = sorted(hour for hour, why in audit.left_out.items() if why == reason)
        said.append(f"left out: {len(hours)} hours, {_time(hours[0])} to {_time(hours[-1])}, {reason}")
    for hole in audit.report.holes:
        what = {
            "missing": "no row of the ledger has them",
            "overlap": "rows of the ledger overlap there and do not meet",
            "unwritten": "ingest has acknowledged them and no row of the ledger has them",
        }[hole.problem]
        said.append(
            f"{hole.place.topic} partition {hole.place.partition} offsets {hole.first} to {hole.next - 1}: {what}"
        )
    return said


def _verdict(audit: Audit) -> str:
    if audit.report.balanced and not audit.lossless:
        return (
            f"LOST: {audit.lost_messages} messages that Kafka deleted before ingest read them, with "
            f"{audit.lost_samples} numbered samples; all else is explained (--allow-lost accepts the loss)"
        )
    if audit.report.balanced:
        return "everything is explained"
    rows = [row for row in audit.report.rows if row.unexplained]
    missing = sum(max(0, row.unexplained) for row in rows)
    surplus = sum(max(0, -row.unexplained) for row in rows)
    return (
        f"NOT explained: {missing} samples missing, {surplus} too many, in {len(rows)} rows; "
        f"{len(audit.report.holes)} ranges of offsets"
    )


def _rows(audit: Audit, everything: bool) -> list[Row]:
    return [row for row in audit.report.rows if everything or row.unexplained]


def _totals(audit: Audit) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in audit.report.rows) for name in _NUMBERS}


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right))
    return lines


def _time(hour: int) -> str:
    return to_rfc3339(hour * HOUR_MS)
