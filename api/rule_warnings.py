"""What is right about a rule but may not be meant, as far as the series that are known tell."""

from collections.abc import Iterable, Iterator

from fleetpulse.errors import FleetpulseError, RuleError
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import NAME, Selector, selections
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.storage.known_series import MOST_VALUES, KnownSeries, known_series
from fleetpulse.storage.reader import Reader


class RuleWarnings:
    """Asks one ClickHouse; one that does not answer has nothing to warn of."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of(self, rules: RuleSet, in_force: RuleSet) -> list[RuleError]:
        """The warnings about `rules`, which may also read what the rules in force record."""
        read = [(rule, leaf.selector) for rule in rules.rules for leaf in selections(parse(rule.expr))]
        recorded = {rule.name for rule in (*rules.recordings, *in_force.recordings)}
        asked = sorted({selector.name for _, selector in read if selector.name} - recorded)
        try:
            known = known_series(self._reader.pool, asked) if asked else {}
        except FleetpulseError:
            return []
        found = [*_nothing(read, known, set(asked))]
        return list({str(warning): warning for warning in found}.values())


def _nothing(
    read: Iterable[tuple[Rule, Selector]], known: dict[str, KnownSeries], asked: set[str]
) -> Iterator[RuleError]:
    for rule, selector in read:
        if selector.name is None or selector.name not in asked:
            continue
        why = _why_nothing(selector, known.get(selector.name))
        if why:
            yield RuleError("matches_nothing", f"{rule.name}: {why}", file=rule.file, line=rule.line, field="expr")


def _why_nothing(selector: Selector, known: KnownSeries | None) -> str:
    if known is None or not known.series:
        return f"no series of {selector.name} was ever stored: the rule matches nothing yet"
    for matcher in selector.matchers:
        if matcher.name == NAME:
            continue
        values = known.labels.get(matcher.name, frozenset())
        absent = known.lacking(matcher.name)
        if (
            len(values) < MOST_VALUES
            and not any(matcher.matches(value) for value in values)
            and not (absent and matcher.matches(""))
        ):
            shown = f"{matcher.name}{matcher.op}{matcher.value!r}"
            return f"no series of {selector.name} has {shown}: the rule matches nothing yet"
    return ""
