"""Which rules read what recording rules record: their results come back through the topic as any series."""

from collections.abc import Mapping, Sequence

from fleetpulse.promql.syntax import Expr, selections, span_ms
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
