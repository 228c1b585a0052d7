"""Plays scenarios on stored history: through ClickHouse and `backtest`, or on columns with their times of arrival.

A back-test runs one rule as it is now over what was stored. It knows no worker, so restarts are nothing to it; what
nobody stores it cannot play: that rules were others once, that somebody called a host gone, that Kafka could be read
although nothing came. Stored samples are taken to have come in time; so scenarios with late ones, or with clocks that
are wrong, are played on columns, which have the times at which they came.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from fleetpulse.hindsight.backtested import Request, Result, backtest
from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key, parse_key
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import selections
from fleetpulse.rules.backtest import Episode
from fleetpulse.rules.model import Rule, rule_set
from fleetpulse.rules.replay import Replay, Samples
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.history import History
from fleetpulse.storage.native import insert_arrays
from tests.support.rules_world import T0
from tests.support.scenario_names import Named
from tests.support.scenarios import UP, Forget, Replace, Restart, Scenario, Send, Told, Wait, loaded, rules_text, told

APART_MS = 6 * 3_600_000
Series = tuple[str, str, dict[str, str]]  # host, metric, labels without it


def not_stored(scenario: Scenario) -> str:
    """Why stored history cannot tell what the scenario tells; empty: it can."""
    for step in scenario.steps:
        if isinstance(step, Replace) or (isinstance(step, Restart) and step.rules is not None):
            return "a back-test runs one version of a rule over all of history"
        if isinstance(step, Forget):
            return "that somebody called a host gone is not among the samples"
        if isinstance(step, Wait):
            return "whether Kafka could be read while nothing came is not among the samples"
    return ""


def is_timely(scenario: Scenario) -> bool:
    """Whether every sample came at its time."""
    return all(step.at_ms == step.ts_ms for step in scenario.steps if isinstance(step, Send))


def _sends(scenario: Scenario) -> list[Send]:
    return [step for step in scenario.steps if isinstance(step, Send)]


def _samples(named: Named) -> Iterator[tuple[Series, int, int, float]]:
    """Series, time, time of arrival and value, in order of arrival."""
    for send in _sends(named.scenario):
        host = named.hosts[send.host]
        values = {**({UP: 1.0} if send.up else {}), **send.values}
        for key, value in values.items():
            name, labels = parse_key(key)
            own = {"instance": host, "job": "node", **labels}
            yield (host, named.metrics.get(name, name), own), send.ts_ms, send.at_ms, value


class ColumnsPlayer:
    """Replays each rule over columns, cut into slices at random."""

    def play(self, scenario: Scenario) -> list[Told]:
        """The events of all its rules."""
        named = Named(scenario, {send.host: send.host for send in _sends(scenario)}, {})
        return sorted(each for rule in scenario.rule_set().alerts for each in self._play(named, rule))

    def _play(self, named: Named, rule: Rule) -> list[Told]:
        scenario = named.scenario
        metrics = {leaf.selector.name for leaf in selections(parse(rule.expr))}
        places: dict[str, int] = {}
        series: list[Series] = []
        rows: list[tuple[int, int, int, float]] = []
        lives: list[tuple[int, str]] = []
        ups: dict[str, dict[str, str]] = {}
        for each, ts_ms, at_ms, value in _samples(named):
            host, metric, labels = each
            if metric == UP:
                lives.append((T0 + at_ms, host))
                ups[host] = {"__name__": UP, **labels}
            if metric in metrics:
                key = canonical_key(metric, labels)
                if key not in places:
                    places[key] = len(series)
                    series.append(each)
                rows.append((places[key], T0 + ts_ms, T0 + at_ms, value))
        stored = [(host, {"__name__": metric, **labels}) for host, metric, labels in series]
        replay = Replay(rule_set([rule]), stored, T0 - 3_600_000, scenario.conduct, ups)
        events = []
        for begin, end in _cuts(scenario):
            inside = [row for row in rows if begin <= row[2] < end]
            living = [life for life in lives if begin <= life[0] < end]
            replay.alive([host for _, host in living], [at_ms for at_ms, _ in living])
            columns = [np.array([row[n] for row in inside], dtype=np.int64) for n in range(3)]
            values = np.array([row[3] for row in inside], dtype=np.float64)
            events += replay.apply_samples(Samples(columns[0].astype(np.intp), columns[1], values, columns[2])).events
        return told(events, T0, scenario.labels)


def _cuts(scenario: Scenario) -> list[tuple[int, int]]:
    dice = random.Random(scenario.name)
    end_ms = T0 + max(send.at_ms for send in _sends(scenario)) + 1
    cuts = sorted({T0, end_ms, *(dice.randrange(T0, end_ms) for _ in range(3))})
    return list(pairwise(cuts))


class StoredPlayer:
    """Plays scenarios on one database, which `store` fills with all of them.

    Each has a time of its own: hosts of others that live would say that the source of all was not away.
    """

    def __init__(self, url: str, scenarios: Sequence[Scenario]) -> None:
        self._url = url
        self._named = {each.name: _named(each) for each in scenarios}
        self._start_ms = {each.name: T0 + number * APART_MS for number, each in enumerate(scenarios)}

    def store(self) -> None:
        """Insert what every host of every scenario sent."""
        rows: dict[str, tuple[int, str, Series]] = {}
        ids, ts, values = [], [], []
        for named in self._named.values():
            for each, ts_ms, _, value in _samples(named):
                key = canonical_key(each[1], each[2])
                rows.setdefault(key, (series_id(key), key, each))
                ids.append(rows[key][0])
                ts.append(self._start_ms[named.scenario.name] + ts_ms)
                values.append(value)
        client = connect(self._url)
        try:
            client.execute(
                f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES",
                [
                    (id_, key, name, host, {"__name__": name, **labels}, T0, T0)
                    for id_, key, (host, name, labels) in rows.values()
                ],
            )
            columns = {"id": np.array(ids, np.uint64), "timestamp": np.array(ts, np.int64), "value": np.array(values)}
            insert_arrays(client, tables.SAMPLES, columns, {})
        finally:
            client.disconnect()

    def play(self, scenario: Scenario) -> list[Told]:
        """What back-tests of its rules find, as the scenario names things."""
        named = self._named[scenario.name]
        rules = loaded(scenario.name, rules_text(named.rules(scenario.rules)))
        start_ms = self._start_ms[scenario.name]
        until_ms = start_ms + max(send.at_ms for send in _sends(scenario)) + 1
        history = History(self._url)
        try:
            found: list[Told] = []
            for rule in rules.alerts:
                request = Request(rule, None, start_ms, until_ms, conduct=scenario.conduct)
                *_, result = backtest(history, request, lambda: False)
                assert isinstance(result, Result)
                found += _told(named, result.new.episodes.all, start_ms)
        finally:
            history.close()
        return sorted(found)


def _named(scenario: Scenario) -> Named:
    return Named.of(scenario, {send.host: f"{send.host}.{scenario.name}" for send in _sends(scenario)})


def _told(named: Named, episodes: Sequence[Episode], start_ms: int) -> Iterator[Told]:
    hosts = {actual: name for name, actual in named.hosts.items()}
    known: dict[str, int] = {}
    for episode in sorted(episodes, key=lambda each: each.start_ms):
        known[episode.fingerprint] = known.get(episode.fingerprint, 0) + 1
        for move in episode.moves:
            yield Told(
                rule=episode.labels["alertname"].removeprefix(f"{named.scenario.name}/"),
                host=hosts.get(episode.host, episode.host),
                labels=",".join(episode.labels.get(label, "") for label in named.scenario.labels),
                at_ms=move.at_ms - start_ms,
                number=move.number,
                status=move.status,
                reason=move.reason,
                severity=move.severity,
                stale=move.stale,
                flapping=move.flapping,
                late=move.late,
                episode=known[episode.fingerprint],
            )
