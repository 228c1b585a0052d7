"""How the alerts of one rule are named, and the events of their transitions."""

from collections.abc import Mapping
from urllib.parse import quote

from fleetpulse.events import AlertEvent, fingerprint_of
from fleetpulse.rules.alert_event import Subject, event_of, levels_of
from fleetpulse.rules.machine import Transition
from fleetpulse.rules.model import Rule
from fleetpulse.rules.templates import Template

MOST_HOSTS_SILENT = "MostHostsSilent"


class Teller:
    """One rule's. `key` is its identity (`RuleSet.key_of`), `source` names what brings the hosts."""

    def __init__(self, rule: Rule, key: str, source: str, page_url: str = "") -> None:
        """`page_url`: where the page is; empty: events have no link."""
        self.rule = rule
        self.levels = levels_of(rule)
        self._key = key
        self._source = source
        self._page_url = page_url
        self._labels = {name: Template(text) for name, text in rule.labels.items()}
        self._annotations = {name: Template(text) for name, text in rule.annotations.items()}

    @property
    def severities(self) -> list[str]:
        """The severity of each level."""
        return [level.severity for level in self.levels]

    def subject(self, host: str, instance: str, series: Mapping[str, str], value: float) -> Subject:
        """What an alert about this label set is about."""
        labels = {name: text for name, text in series.items() if name != "__name__"}
        labels.setdefault("instance", instance or host)
        for name, template in self._labels.items():
            labels[name] = template.render(series, value)
        labels["alertname"] = self.rule.name
        labels.pop("severity", None)
        return Subject(host, series, labels, fingerprint_of(labels), {})

    def about_source(self) -> Subject:
        """What the alert about the silence of most hosts is about."""
        labels = {"alertname": MOST_HOSTS_SILENT, "instance": self._source, "rule": self._key}
        return Subject(self._source, {}, labels, fingerprint_of(labels), {})

    def event(self, transition: Transition, subject: Subject, late: bool) -> AlertEvent:
        """A transition of an alert about a series."""
        level = self.levels[(transition.severity or transition.previous) - 1]
        subject.annotations = self._rendered(transition, subject)
        threshold = "" if level.threshold is None else str(level.threshold)
        return self._event(transition, subject, threshold, late)

    def event_of_silence(self, transition: Transition, subject: Subject) -> AlertEvent:
        """A transition of the alert about a host's silence; the value is for how many seconds nothing came."""
        assert self.rule.no_data_ms is not None
        subject.annotations = self._rendered(transition, subject)
        subject.annotations["no_data"] = f"{subject.host} has sent nothing for this rule"
        threshold = f">= {self.rule.no_data_ms / 1000:g}"
        return self._event(transition, subject, threshold)

    def event_of_source(self, transition: Transition, subject: Subject) -> AlertEvent:
        """A transition of the alert about most hosts; the value is the share of them that is silent."""
        subject.annotations = {
            "summary": f"{transition.value:.0%} of the hosts of {self._source} are silent",
            "description": f"They fell silent together, so this is told instead of {self.rule.name} for each of them: "
            "look at what brings their samples, or at the network between.",
        }
        return self._event(transition, subject, "> 0.5")

    def _event(self, transition: Transition, subject: Subject, threshold: str, late: bool = False) -> AlertEvent:
        link = ""
        if self._page_url:
            link = f"{self._page_url}/rules/{quote(self.rule.name, safe='')}?host={quote(subject.host, safe='')}"
        return event_of(transition, self._key, self.rule.hash, subject, self.severities, threshold, late, link)

    def _rendered(self, transition: Transition, subject: Subject) -> dict[str, str]:
        severity = self.levels[(transition.severity or transition.previous) - 1].severity
        shown = {**subject.labels, **({"severity": severity} if severity else {})}
        return {name: template.render(shown, transition.value) for name, template in self._annotations.items()}
