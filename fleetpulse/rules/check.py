"""``fleetpulse rules check FILE…``: reads rule files and says where each rule runs, or everything that is wrong."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Instant, reach_ms, selections
from fleetpulse.rules.evaluator import DEFAULT_LOOKBACK_MS
from fleetpulse.rules.load import read, shipped_packs
from fleetpulse.rules.model import Rule


def check(argv: Sequence[str]) -> int:
    """Print the rules of the files; 1 when any is wrong, or when there is none."""
    parser = argparse.ArgumentParser(
        prog="fleetpulse rules check", description=(__doc__ or "").partition(": ")[2], allow_abbrev=False
    )
    parser.add_argument("file", nargs="*", type=Path, help="rule files; none: those shipped with Fleetpulse")
    files: list[Path] = parser.parse_args(argv).file or shipped_packs()
    rules, errors = read(files)
    for error in errors:
        print(error, file=sys.stderr)
    for rule in rules.rules:
        print(f"{rule.place}: {rule.kind} {rule.name}: stream engine, {_why(rule)}")
    for one in rules.waiting:
        print(f"{one.rule.place}: {one.rule.kind} {one.rule.name}: waits for the ruler, {one.why}")
    if not rules.rules and not rules.waiting and not errors:
        print(f"no rules in {', '.join(map(str, files))}: a rule file begins with 'groups:'", file=sys.stderr)
        return 1
    good, wrong = len(rules.rules) + len(rules.waiting), len(errors)
    print(f"{good} {'rule is' if good == 1 else 'rules are'} good, {wrong} {'error' if wrong == 1 else 'errors'}")
    return 1 if errors else 0


def _why(rule: Rule) -> str:
    expr = parse(rule.expr)
    leaves = selections(expr)
    names = dict.fromkeys(leaf.selector.name or "several metrics" for leaf in leaves)
    reach = reach_ms(expr, DEFAULT_LOOKBACK_MS) // 1000
    reads = "the newest samples" if all(isinstance(leaf, Instant) for leaf in leaves) else f"windows up to {reach} s"
    return f"every series it reads is of one host: {reads} of {', '.join(names)}"
