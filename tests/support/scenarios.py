"""Scenarios of alerting as data: `tests/scenarios/*.yaml`, whose format `tests/scenarios/README.md` describes.

A runner plays a `Scenario` and gives the events as `Told`; what it gives is compared with `Scenario.events`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import yaml

from fleetpulse.events import AlertEvent
from fleetpulse.metric import STALE_NAN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.flapping import Flapping
from fleetpulse.rules.load import read_text
from fleetpulse.rules.model import RuleSet
from fleetpulse.wire import Block, join_keys, make_block

FOLDER = Path(__file__).parents[1] / "scenarios"
UP = "up"
_SAMPLE_FIELDS = {"host", "hosts", "at", "from", "to", "every", "clock", "lag", "up"}
_DURATION = re.compile(r"(-)?(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?")


@dataclass(frozen=True)
class Send:
    """A host's samples, stamped `ts_ms` and appended at `at_ms`; times from the scenario's beginning."""

    at_ms: int
    host: str
    ts_ms: int
    values: Mapping[str, float]
    up: bool = True

    def block(self, start_ms: int, host: str = "", rename: Mapping[str, str] | None = None) -> Block:
        """The samples as a host with another name, or whose metrics have other names, would send them."""
        host = host or self.host
        samples = {UP: 1.0} if self.up else {}
        for key, value in self.values.items():
            name, brace, labels = key.partition("{")
            samples[f"{(rename or {}).get(name, name)}{brace}{labels}"] = value
        common = {"instance": host, "job": "node"}
        return make_block(host, common, join_keys(samples), start_ms + self.ts_ms, samples.values())


@dataclass(frozen=True)
class Restart:
    """The worker is killed, and another one goes on; with other rules when they are given."""

    at_ms: int
    rules: Sequence[Any] | None = None


@dataclass(frozen=True)
class Replace:
    """The worker that runs gets other rules."""

    at_ms: int
    rules: Sequence[Any]


@dataclass(frozen=True)
class Wait:
    """Nothing comes for so long, although the partition is read to its end."""

    at_ms: int
    for_ms: int


@dataclass(frozen=True)
class Forget:
    """Somebody says that the host is gone for good."""

    at_ms: int
    host: str


Step = Send | Restart | Replace | Wait | Forget


@dataclass(frozen=True, order=True)
class Told:
    """One event, as scenarios tell it. `episode` counts the episodes of one alert from 1."""

    rule: str
    host: str
    labels: str
    at_ms: int
    number: int
    status: str
    reason: str
    severity: str
    stale: bool = False
    flapping: bool = False
    late: bool = False
    episode: int = 1


@dataclass(frozen=True)
class Scenario:
    """One file. `live`: why the worker on Kafka cannot play it, or empty."""

    name: str
    about: str
    rules: Sequence[Any]
    steps: Sequence[Step]
    events: Sequence[Told]
    not_live: str = ""
    flapping: bool = False
    forget_after_ms: int | None = None
    labels: Sequence[str] = ()

    @property
    def conduct(self) -> Conduct:
        """What the worker is told besides."""
        return Conduct(Flapping() if self.flapping else None, self.forget_after_ms)

    def rule_set(self, rules: Sequence[Any] | None = None, text: str | None = None) -> RuleSet:
        """The rules, checked."""
        return loaded(self.name, text or rules_text(self.rules if rules is None else rules))


class Player(Protocol):
    """Plays scenarios on something: the pure rules, the live worker, a back-test."""

    def play(self, scenario: Scenario) -> list[Told]: ...


def scenarios() -> list[Scenario]:
    """Every scenario, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def read(path: Path) -> Scenario:
    """One file; raises ValueError for what it does not know."""
    tree = yaml.safe_load(path.read_text())
    known = {"about", "rules", "samples", "steps", "events", "not_live", "flapping", "labels", "forget_after"}
    if unknown := tree.keys() - known:
        raise ValueError(f"{path.name}: unknown fields {sorted(unknown)}")
    sends = [send for item in tree["samples"] for send in _sends(item)]
    steps: list[Step] = [*sends, *(_step(item) for item in tree.get("steps", ()))]
    order = {Send: 0, Wait: 2}
    forget_after = tree.get("forget_after")
    return Scenario(
        name=path.stem,
        about=tree["about"],
        rules=tree["rules"],
        steps=sorted(steps, key=lambda step: (step.at_ms, order.get(type(step), 1))),
        events=sorted(_told(item) for item in tree["events"] or ()),
        not_live=tree.get("not_live", ""),
        flapping=tree.get("flapping", False),
        forget_after_ms=None if forget_after is None else ms(forget_after),
        labels=tuple(tree.get("labels", ())),
    )


def ms(text: str | float) -> int:
    """``-1h2m3.5s`` or a number of seconds, in ms."""
    if isinstance(text, int | float):
        return round(1000 * text)
    match = _DURATION.fullmatch(text)
    if not match or not text:
        raise ValueError(f"{text!r} is no duration such as 1h2m3s")
    sign, hours, minutes, seconds = match.groups()
    total = 3_600_000 * int(hours or 0) + 60_000 * int(minutes or 0) + round(1000 * float(seconds or 0))
    return -total if sign else total


def loaded(name: str, text: str) -> RuleSet:
    """The rules of a rule file's text."""
    groups, errors = read_text(f"{name}.yaml", text)
    assert not errors, errors
    return RuleSet(tuple(groups))


def rules_text(rules: Sequence[Any]) -> str:
    """A rule file with these rules."""
    return yaml.safe_dump({"groups": [{"name": "scenario", "rules": list(rules)}]})


def told(
    events: Iterable[AlertEvent],
    start_ms: int,
    labels: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    prefix: str = "",
) -> list[Told]:
    """Events as scenarios tell them; `labels` are those by which alerts of one rule and host are told apart.

    `names`: hosts as the scenario names them; `prefix` is taken from the names of alerts.
    """
    found: list[Told] = []
    episodes: dict[tuple[str, str], list[str]] = {}
    for event in events:
        data = event.data
        known = episodes.setdefault((data.rule.name, data.fingerprint), [])
        if data.episode not in known:
            known.append(data.episode)
        found.append(
            Told(
                rule=data.labels["alertname"].removeprefix(prefix),
                host=(names or {}).get(data.host, data.host),
                labels=",".join(data.labels.get(label, "") for label in labels),
                at_ms=round(1000 * datetime.fromisoformat(event.time).timestamp()) - start_ms,
                number=data.transition,
                status=data.status,
                reason=data.reason,
                severity=data.labels.get("severity", ""),
                stale=data.stale,
                flapping=getattr(data, "flapping", False),
                late=data.late,
                episode=known.index(data.episode) + 1,
            )
        )
    return sorted(found)


def _sends(item: Mapping[str, Any]) -> Iterator[Send]:
    series = {key: value if isinstance(value, list) else [value] for key, value in item.items() if _is_series(key)}
    hosts = item["hosts"] if "hosts" in item else [item["host"]]
    clock_ms, lag_ms = ms(item.get("clock", 0)), ms(item.get("lag", 0))
    if "at" in item:
        times = [ms(at) for at in (item["at"] if isinstance(item["at"], list) else [item["at"]])]
    else:
        times = list(range(ms(item["from"]), ms(item["to"]) + 1, ms(item.get("every", "10s"))))
    values = {key: cycle(each) for key, each in series.items()}
    for at_ms in times:
        found = {key: next(each) for key, each in values.items()}
        samples = {
            key: STALE_NAN if value == "stale" else float(value) for key, value in found.items() if value is not None
        }
        for host in hosts:
            yield Send(at_ms + lag_ms, host, at_ms + clock_ms, samples, item.get("up", True))


def _is_series(key: str) -> bool:
    return key not in _SAMPLE_FIELDS


def _step(item: Mapping[str, Any]) -> Step:
    at_ms = ms(item["at"])
    if "wait" in item:
        return Wait(at_ms, ms(item["wait"]))
    if "forget" in item:
        return Forget(at_ms, item["forget"])
    if "replace" in item:
        return Replace(at_ms, item["replace"])
    return Restart(at_ms, item["restart"] or None)


def _told(item: Mapping[str, Any]) -> Told:
    allowed = {each.name for each in fields(Told)} - {"at_ms"} | {"at"}
    if unknown := item.keys() - allowed:
        raise ValueError(f"unknown fields of an event: {sorted(unknown)}")
    rest = {key: value for key, value in item.items() if key != "at"}
    return Told(**{"labels": "", "severity": "", **rest, "at_ms": ms(item["at"])})
