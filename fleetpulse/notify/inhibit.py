"""Stage *inhibit*: firing alerts that keep others quiet, by the configuration's rules."""

from collections.abc import Sequence

from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import InhibitRule
from fleetpulse.notify.matchers import matches


class Inhibitor:
    """Knows the firing alerts that match a rule's source."""

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = [_Sources(rule) for rule in rules]

    def update(self, alert: Alert) -> None:
        """Take an alert's latest state."""
        for sources in self._rules:
            sources.update(alert)

    def forget(self, fingerprint: str) -> None:
        """An alert that is no more."""
        for sources in self._rules:
            sources.remove(fingerprint)

    def inhibited_by(self, alert: Alert) -> list[str]:
        """Fingerprints of the alerts that keep this one quiet, the first of each rule."""
        found = [sources.of(alert) for sources in self._rules]
        return list(dict.fromkeys(fingerprint for fingerprint in found if fingerprint))


class _Sources:
    """The sources of one rule, by the values of its `equal` labels."""

    def __init__(self, rule: InhibitRule) -> None:
        self._rule = rule
        # values → fingerprint → whether this source matches the rule's target too
        self._by_values: dict[tuple[str, ...], dict[str, bool]] = {}
        self._values_of: dict[str, tuple[str, ...]] = {}

    def update(self, alert: Alert) -> None:
        self.remove(alert.fingerprint)
        labels = alert.match_labels
        if alert.firing and matches(self._rule.source, labels):
            values = self._values(alert)
            self._by_values.setdefault(values, {})[alert.fingerprint] = matches(self._rule.target, labels)
            self._values_of[alert.fingerprint] = values

    def remove(self, fingerprint: str) -> None:
        values = self._values_of.pop(fingerprint, None)
        if values is not None:
            of_values = self._by_values[values]
            del of_values[fingerprint]
            if not of_values:
                del self._by_values[values]

    def of(self, alert: Alert) -> str:
        labels = alert.match_labels
        if not matches(self._rule.target, labels):
            return ""
        # Alerts that match both sides do not keep each other quiet, else both would be.
        both_sides = matches(self._rule.source, labels)
        for fingerprint, also_target in self._by_values.get(self._values(alert), {}).items():
            if fingerprint != alert.fingerprint and not (both_sides and also_target):
                return fingerprint
        return ""

    def _values(self, alert: Alert) -> tuple[str, ...]:
        labels = alert.match_labels
        return tuple(labels.get(name, "") for name in self._rule.equal)
