"""`docs/faults.md`: what was broken, what came of it, and what was not tried."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.matrix import SCENARIOS
from tests.faults.runner import Outcome
from tests.faults.verdict import Verdict

HEAD = """# The fault matrix

`make faults` breaks a running pipeline in every way below, on Apache Kafka (one broker, and a cluster of three with
three replicas, two in sync) and ClickHouse, and compares what is stored with an *oracle*: every simulated host writes
a counter and values that are a pure function of seed, host, series and time. It compares the public views `metrics`,
`metrics_1m` and `metrics_1h` as user `grafana`, `/api/fleet/v1/samples`, the host dashboard's SQL, `fleetpulse verify`
and `fleetpulse audit`; with ClickHouse's merges stopped, and again after everything was merged. Zero missing, zero
visible twice, zero wrong and zero unexplained is the only pass. A fault that could not be shown to have happened fails.

Written by `make faults`; the short faults, marked ✓, run in every `make test`.
"""

COLUMNS = (
    "fault", "short", "what was done", "proof that it happened", "sent", "stored", "copies", "missing", "twice",
    "wrong", "rollups unequal", "dropped and told", "unexplained", "seconds to recover", "date", "seed", "result",
)  # fmt: skip


def remember(path: Path, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The newest outcome of every fault, these included, in the order of the matrix; kept in the file."""
    found = json.loads(path.read_text()) if path.exists() else {}
    for outcome in outcomes:
        if not (outcome.skipped and outcome.scenario.name in found):
            found[outcome.scenario.name] = {**asdict(outcome), "scenario": outcome.scenario.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    known = []
    for scenario in SCENARIOS:
        if one := found.get(scenario.name):
            fields = {**one, "scenario": scenario, "verdict": Verdict(**one["verdict"])}
            known.append(Outcome(**fields))
    return known


def report(outcomes: Sequence[Outcome]) -> str:
    """The page."""
    played = [outcome for outcome in outcomes if not outcome.skipped]
    passed = sum(outcome.passed for outcome in played)
    lines = [
        HEAD,
        f"Python {platform.python_version()}, {os.cpu_count()} processors: **{passed} of {len(played)} faults passed**,"
        f" {len(outcomes) - len(played)} skipped. `make faults ARGS='NAME --seed SEED'` draws the same times again.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *(_row(outcome) for outcome in outcomes),
        "",
        "*copies*: rows that were stored again and are visible once. *dropped and told*: given up by a producer that "
        "had no room, and told by host and hour. *seconds to recover*: from the end of the fault, or of the load when "
        "that came later, until every sample was visible. Dates are UTC.",
    ]
    notes = [f"- {outcome.scenario.name}: {note}" for outcome in played for note in outcome.verdict.notes]
    if notes:
        lines += ["", "## What was found", "", *notes]
    skipped = [f"- {outcome.scenario.name}: {outcome.skipped}" for outcome in outcomes if outcome.skipped]
    lines += ["", "## What was skipped, which is not a pass", "", *skipped, *NOT_BUILT]
    return "\n".join(lines) + "\n"


NOT_BUILT = ("- The power loss of a whole machine: the promise does not cover that of the only node.",)


def _row(outcome: Outcome) -> str:
    scenario, verdict = outcome.scenario, outcome.verdict
    short = "✓" if scenario.short else ""
    if outcome.skipped:
        cells = [scenario.name, short, scenario.done, "", *[""] * 10, outcome.when, str(outcome.seed), "skipped"]
    else:
        numbers = (
            verdict.sent, verdict.stored, verdict.duplicates, verdict.missing, verdict.twice, verdict.wrong,
            verdict.rollups, verdict.dropped, verdict.unexplained,
        )  # fmt: skip
        result = "passed" if outcome.passed else "**FAILED**"
        figures = [*(f"{number:,}" for number in numbers), f"{verdict.recovery_seconds:.1f}"]
        told = [scenario.name, short, scenario.done, verdict.evidence]
        cells = [*told, *figures, outcome.when, str(outcome.seed), result]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
