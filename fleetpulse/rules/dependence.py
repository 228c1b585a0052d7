"""Which rules read what recording rules record: their results come back through the topic as any series."""

from collections.abc import Mapping, Sequence

from fleetpulse.errors import RuleError
from fleetpulse.promql.parse import selectors
from fleetpulse.promql.syntax import Expr, Selector, selections, span_ms
from fleetpulse.rules.model import Rule, RuleKind


def recordings_read(rules: Sequence[Rule], exprs: Sequence[Expr], lookback_ms: int) -> list[dict[int, int]]:
    """For each rule the recording rules that it reads, by number, and how far back in ms. A rule's own are left out."""
    recorded = [(number, rule.name) for number, rule in enumerate(rules) if rule.kind is RuleKind.RECORD]
    found: list[dict[int, int]] = []
    for reader, expr in enumerate(exprs):
        reads: dict[int, int] = {}
        for leaf in selections(expr):
            back_ms = span_ms(leaf, lookback_ms)
            for number, name in recorded:
                if number != reader and leaf.selector.takes_name(name):
                    reads[number] = max(back_ms, reads.get(number, 0))
        found.append(reads)
    return found


def readers_of(reads: Sequence[Mapping[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """For each rule the rules that read what it records: (at first hand, at any hand)."""
    direct = [[reader for reader, read in enumerate(reads) if number in read] for number in range(len(reads))]
    every = []
    for number in range(len(reads)):
        reached: set[int] = set()
        ahead = list(direct[number])
        while ahead:
            reader = ahead.pop()
            if reader not in reached:
                reached.add(reader)
                ahead += direct[reader]
        every.append(sorted(reached))
    return direct, every


def self_feeding(rules: Sequence[Rule]) -> list[RuleError]:
    """An error, reason ``feeds_itself``, for each recording rule that reads what it records, through others perhaps.

    `rules` may be such that wait for the ruler.
    """
    recordings = [rule for rule in rules if rule.kind is RuleKind.RECORD]
    names = {rule: selectors(rule.expr) for rule in recordings}
    reads = {
        rule: [read for read in recordings if any(_may_take(selector, read) for selector in names[rule])]
        for rule in recordings
    }
    found: list[RuleError] = []
    told: set[frozenset[Rule]] = set()
    for rule in recordings:
        path = _way_back(rule, reads)
        if path is None or frozenset(path) in told:
            continue
        told.add(frozenset(path))
        shown = " reads ".join(f"{each.name} ({each.place})" for each in [*path, rule])
        advice = "record it under another name, or read the series that it comes from"
        message = f"recording rule {rule.name!r} feeds itself: {shown}; {advice}"
        found.append(RuleError("feeds_itself", message, file=rule.file, line=rule.line, field="expr"))
    return found


def _may_take(selector: Selector, rule: Rule) -> bool:
    """Whether a selector may take what a rule records: its name fits, and no label that the rule sets does not."""
    labels = (each for each in selector.matchers if each.name in rule.labels)
    return selector.takes_name(rule.name) and all(each.matches(rule.labels[each.name]) for each in labels)


def _way_back(rule: Rule, reads: Mapping[Rule, Sequence[Rule]]) -> list[Rule] | None:
    """The rules on the shortest way from a rule over what is read back to itself; None: there is none."""
    ways, seen = [[rule]], set()
    for way in ways:  # grows meanwhile
        for read in reads[way[-1]]:
            if read is rule:
                return way
            if read not in seen:
                seen.add(read)
                ways.append([*way, read])
    return None
