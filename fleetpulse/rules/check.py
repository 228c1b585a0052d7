"""``fleetpulse rules check FILE…``: reads rule files and says where each rule runs, or everything that is wrong.

Where the API answers it is asked as well: it knows the rules in force, how long samples are kept, and which series
there are, so it warns of a rule that matches nothing. Where it does not, that is said.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fleetpulse.promql.long_windows import SAMPLES_MS, long_window
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Anchored, Instant, OverRange, reach_ms, selections, span_ms
from fleetpulse.rule_files.reviewed import review
from fleetpulse.rules.evaluator import DEFAULT_LOOKBACK_MS
from fleetpulse.rules.load import PACKS, read, rule_file
from fleetpulse.rules.model import Rule
from fleetpulse.rules.retention import too_long
from fleetpulse.rules.sent import not_sent
from fleetpulse.settings import IngestSettings, load


def check(argv: Sequence[str]) -> int:
    """Print the rules of the files; 1 when any is wrong, or when there is none."""
    parser = argparse.ArgumentParser(
        prog="fleetpulse rules check",
        description=(__doc__ or "").partition(": ")[2].replace("``", ""),
        allow_abbrev=False,
    )
    shipped = ", ".join(PACKS)
    parser.add_argument("file", nargs="*", help=f"rule files, or packs that come with Fleetpulse; none: {shipped}")
    files: list[Path] = [rule_file(text) for text in parser.parse_args(argv).file or PACKS]
    rules, errors = read(files)
    errors += too_long([*rules.rules, *(one.rule for one in rules.waiting)], load(IngestSettings).raw_retention_days)
    complaints = [str(error) for error in errors]
    notes: list[str] = []
    every = len(rules.rules) + len(rules.waiting)
    if every and not any(error.reason == "file" for error in errors):
        complaints, notes = _reviewed(files, complaints)
    for line in (*complaints, *notes):
        print(line, file=sys.stderr)
    recorded = [rule.name for rule in rules.recordings]
    for rule in rules.rules:
        print(f"{rule.place}: {rule.kind} {rule.name}: stream engine, {_why(rule, recorded)}")
    for one in rules.waiting:
        print(f"{one.rule.place}: {one.rule.kind} {one.rule.name}: waits for the ruler, {one.why}")
    if not every and not complaints:
        print(f"no rules in {', '.join(map(str, files))}: a rule file begins with 'groups:'", file=sys.stderr)
        return 1
    wrong = len(complaints)
    total = f"{every} {'rule is' if every == 1 else 'rules are'} good, {wrong} {'error' if wrong == 1 else 'errors'}"
    if count := len(rules.waiting):
        total += f"; {count} {'waits' if count == 1 else 'wait'} for the ruler and {'is' if count == 1 else 'are'}"
        total += " not evaluated yet"
    print(total)
    return 1 if complaints else 0


def _reviewed(files: Sequence[Path], complaints: list[str]) -> tuple[list[str], list[str]]:
    """The complaints with those of the API, and what else it has to say."""
    found = review(files)
    if found.errors is None or found.warnings is None:
        what = "whether the rules match any series, and whether they go with those in force"
        return complaints, [f"not checked: {what}: {found.why}"]
    every = list(dict.fromkeys([*complaints, *found.errors]))
    return every, [f"warning: {warning}" for warning in found.warnings]


def _why(rule: Rule, recorded: Sequence[str]) -> str:
    expr = parse(rule.expr)
    own = expr.operand if isinstance(expr, Anchored) else expr
    leaves = selections(own)
    if not leaves:
        return "it reads no series: once for each host with a rules worker, when that sends its own metrics"
    names = dict.fromkeys(leaf.selector.name or "several metrics" for leaf in leaves)
    reach = reach_ms(own, DEFAULT_LOOKBACK_MS) // 1000
    instant = all(isinstance(leaf, Instant) and not leaf.offset_ms for leaf in leaves)
    reads = "the newest samples" if instant else f"windows up to {reach} s"
    why = f"every series it reads is of one host: {reads} of {', '.join(names)}"
    if missing := not_sent(own, recorded):
        why += f"; nothing that comes with Fleetpulse sends {', '.join(missing)}"
    if kept := [leaf for leaf in leaves if isinstance(leaf, OverRange) and _keeps_samples(leaf)]:
        longest = max(span_ms(leaf, DEFAULT_LOOKBACK_MS) for leaf in kept) // 1000
        why += (
            f"; {kept[0].function}() has no sub-buckets: every sample of {longest} s stays in memory, and is read again"
        )
        why += " from Kafka after a start"
    return why


def _keeps_samples(leaf: OverRange) -> bool:
    """Whether samples of so long a window are kept, because the function has no form that merges."""
    return span_ms(leaf, DEFAULT_LOOKBACK_MS) > SAMPLES_MS and long_window(leaf, DEFAULT_LOOKBACK_MS) is None
