"""What is right about a rule but may not be meant, as far as the series that are known tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fleetpulse.errors import FleetpulseError, RuleError
from fleetpulse.promql.parse import selectors
from fleetpulse.promql.syntax import NAME, Selector
from fleetpulse.rules.model import Rule, RuleKind, RuleSet
from fleetpulse.storage.known_series import MOST_VALUES, KnownSeries, known_series, nearest_metrics
from fleetpulse.storage.reader import Reader

_MOST_NAMED = 5  # values, and metrics for which a near name is looked for


class RuleWarnings:
    """Asks one ClickHouse; of one that does not answer it is a warning that nothing was checked."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of(self, rules: RuleSet, in_force: RuleSet) -> list[RuleError]:
        """The warnings about `rules`, which may also read what the rules in force record."""
        every = [*rules.rules, *(one.rule for one in rules.waiting)]
        read = [(rule, selector) for rule in every for selector in selectors(rule.expr)]
        recorded = {rule.name for rule in (*every, *in_force.recordings) if rule.kind is RuleKind.RECORD}
        asked = sorted({selector.name for _, selector in read if selector.name} - recorded)
        try:
            known = known_series(self._reader.pool, asked) if asked else {}
            unknown = [name for name in asked if name not in known][:_MOST_NAMED]
            near = {name: nearest_metrics(self._reader.pool, name) for name in unknown}
        except FleetpulseError as error:
            why = f"not checked whether the rules match any series: ClickHouse does not answer: {error}"
            return [RuleError("not_checked", why)]
        found = [*_nothing(read, known, set(asked), near)]
        return list({str(warning): warning for warning in found}.values())


def _nothing(
    read: Iterable[tuple[Rule, Selector]],
    known: Mapping[str, KnownSeries],
    asked: set[str],
    near: Mapping[str, Sequence[str]],
) -> Iterator[RuleError]:
    for rule, selector in read:
        if selector.name is None or selector.name not in asked:
            continue
        why = _why_nothing(selector, known.get(selector.name), near.get(selector.name, ()))
        if why:
            yield RuleError("matches_nothing", f"{rule.name}: {why}", file=rule.file, line=rule.line, field="expr")


def _why_nothing(selector: Selector, known: KnownSeries | None, near: Sequence[str]) -> str:
    if known is None or not known.series:
        remedy = f"did you mean {' or '.join(near)}?" if near else "look at its spelling, or send the metric"
        return f"no series of {selector.name} was ever stored: the rule matches nothing yet; {remedy}"
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
            return (
                f"no series of {selector.name} has {shown}: the rule matches nothing yet; {_has(matcher.name, values)}"
            )
    return ""


def _has(label: str, values: frozenset[str]) -> str:
    """What a label has, for whoever looks for a value that it has not."""
    if not values:
        return f"none has a label {label}"
    listed = ", ".join(map(repr, sorted(values)[:_MOST_NAMED]))
    return f"{label} is {listed}" + (f" or one of {len(values) - _MOST_NAMED} more" * (len(values) > _MOST_NAMED))
