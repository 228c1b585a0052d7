"""Rules as the stream evaluator runs them: what each reads, how far back, how often, and after which others."""

import numpy as np

from fleetpulse.errors import RuleError
from fleetpulse.frames import Int64Array
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Expr, reach_ms
from fleetpulse.rules.chain import Chain
from fleetpulse.rules.dependence import readers_of, recordings_read
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.rules.needs import Needs, long_reaches, needs_of, reread_ms


class Program:
    """The rules of one rule set by number. Everything that is per rule is by that number."""

    def __init__(self, rules: RuleSet, lookback_ms: int, ahead_ms: int | None = None) -> None:
        """Raises RuleError for a rule that cannot run on the stream."""
        self.rules = rules.rules
        self.number_of = {rule: number for number, rule in enumerate(self.rules)}
        self.exprs = [_parsed(rule) for rule in self.rules]
        intervals = {rule: group.interval_ms for group in rules.groups for rule in group.rules}
        self.every_ms: Int64Array = np.array([intervals[rule] or 1 for rule in self.rules], dtype=np.int64)
        self.paced = frozenset(np.flatnonzero(self.every_ms > 1).tolist())
        self.reach_ms = [reach_ms(expr, lookback_ms) for expr in self.exprs]
        self.reread_ms = [reread_ms(expr, lookback_ms) for expr in self.exprs]
        self.long_ms = [long_reaches(expr, lookback_ms) for expr in self.exprs]
        self.reads = recordings_read(self.rules, self.exprs, lookback_ms)
        self.readers_of = readers_of(self.reads)
        self.chain = Chain(self.rules, self.reads, self.readers_of[1])
        self.needs: Needs = needs_of(self.exprs, lookback_ms, ahead_ms)

    def may_follow(self, before: "Program") -> bool:
        """Whether the windows that another one's rules read are all that these read: as long, and written alike."""
        known = before.needs
        return (
            all(known.samples_ms.get(selector, -1) >= ms for selector, ms in self.needs.samples_ms.items())
            and all(set(needs) <= set(known.minutes.get(each, ())) for each, needs in self.needs.minutes.items())
            and self._recorders() <= before._recorders()
        )

    def places_in(self, before: "Program") -> list[int]:
        """For each rule its number in another program, -1 where none is the same but for thresholds and times."""
        numbers = {rule.hash: number for number, rule in enumerate(before.rules)}
        return [numbers.get(rule.hash, -1) for rule in self.rules]

    def _recorders(self) -> frozenset[str]:
        return frozenset(self.rules[number].hash for number in self.chain.recorders)


def _parsed(rule: Rule) -> Expr:
    try:
        return parse(rule.expr)
    except RuleError as error:
        raise RuleError(error.reason, f"{rule.place}: rule {rule.name!r}: {error}") from error
