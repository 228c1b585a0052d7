"""Columns of stored samples give exactly the events that the same samples give live, a message at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fleetpulse.events import AlertEvent
from fleetpulse.hindsight.arrivals import arrivals
from fleetpulse.rules.backtest import Episodes, by_host, difference
from fleetpulse.rules.model import Rule, Severity, Threshold, rule_set
from fleetpulse.rules.replay import Replay, Samples
from fleetpulse.rules.stream_run import StreamRun
from fleetpulse.storage.history import StoredSamples, StoredSeries
from tests.support.rules_world import T0, alert

HOSTS = [f"h{number}" for number in range(4)]
SERIES = [
    StoredSeries(10 * number + kind, host, {"__name__": name, "instance": f"{host}:9100", "n": str(kind)})
    for number, host in enumerate(HOSTS)
    for kind, name in enumerate(("temperature_celsius", "temperature_celsius", "fan"))
]
END = T0 + 3_600_000
HOTTEST = "max by (instance) (max_over_time(temperature_celsius[5m]))"
RULES = {
    "threshold": alert(
        warning=Threshold(">", 70.0), critical=Threshold(">", 85.0), for_ms=120_000, keep_firing_for_ms=60_000,
        recovery={Severity.WARNING: Threshold("<", 60.0)},
    ),
    "prometheus": alert(expr="temperature_celsius > 75", warning=None, critical=None, labels={"severity": "page"}),
    "window": alert(expr=HOTTEST + " - on (instance) fan", warning=Threshold(">", 70.0), critical=None),
    "no_data": alert(expr="fan < 1", warning=None, critical=None, no_data_ms=120_000, labels={}),
}  # fmt: skip


def samples(seed: int, late: bool) -> Samples:
    """A tick every 30 s with gaps; some stretches of some hosts arrive later, after newer ones."""
    chosen = np.random.default_rng(seed)
    series, ts, value, appended = [], [], [], []
    for place, each in enumerate(SERIES):
        level, host = 65.0, int(each.host[1:])
        gaps = np.random.default_rng(1000 * seed + host)
        silent = [(int(gaps.integers(0, 120)), int(gaps.integers(3, 40))) for _ in range(2)] if host > 1 else []
        for tick in range(120):
            level += float(chosen.normal(0, 4)) + (65 - level) * 0.1
            if any(begin <= tick < begin + length for begin, length in silent):
                continue
            at = T0 + 30_000 * tick
            delay = 400_000 if late and host == 3 and tick // 20 % 3 == 1 and place % 3 == 1 else 0
            series.append(place)
            ts.append(at)
            value.append(level if each.labels["__name__"] != "fan" else float(chosen.random() * 3))
            appended.append(at + delay)
    return Samples(np.array(series), np.array(ts), np.array(value), np.array(appended))


def live(rule: Rule, given: Samples) -> list[AlertEvent]:
    """A message at a time, in order of arrival."""
    run = StreamRun(rule_set([rule]), T0)
    messages: dict[int, list[object]] = {}
    for delay in np.unique(given.appended - given.ts).tolist():
        own = given.appended - given.ts == delay
        for host in HOSTS:
            mine = own & np.array([SERIES[place].host == host for place in given.series.tolist()])
            stored = StoredSamples(given.series[mine], given.ts[mine], given.value[mine])
            for at_ms, blocks in arrivals(SERIES, stored, {}):
                messages.setdefault(at_ms + delay, []).extend(blocks)
    for append_ms in sorted(messages):
        run.send(append_ms, messages[append_ms])  # type: ignore[arg-type]
    run.wait(END)
    return run.events


def replayed(rule: Rule, given: Samples, hours: float) -> tuple[list[AlertEvent], int]:
    read = [place for place, each in enumerate(SERIES) if each.labels["__name__"] in rule.expr]
    replay = Replay(rule_set([rule]), [(SERIES[place].host, SERIES[place].labels) for place in read], T0)
    events: list[AlertEvent] = []
    late = 0
    step = int(hours * 3_600_000)
    for begin in range(T0, END + 600_000, step):
        inside = (given.appended >= begin) & (given.appended < begin + step)
        order = np.flatnonzero(inside)[np.argsort(given.appended[inside], kind="stable")]
        hosts = [SERIES[place].host for place in given.series[order].tolist()]
        replay.alive(hosts, given.appended[order].tolist())
        inside &= np.isin(given.series, read)
        series = np.searchsorted(read, given.series[inside])
        outcome = replay.apply_samples(Samples(series, given.ts[inside], given.value[inside], given.appended[inside]))
        events += outcome.events
        late += outcome.late_samples
    return events + replay.wait_until(END).events, late


def told(events: Sequence[AlertEvent]) -> list[tuple[str, str, tuple[object, ...]]]:
    return sorted((event.id, event.time, replace_late(event)) for event in events)


def replace_late(event: AlertEvent) -> tuple[object, ...]:
    data = event.data
    return (data.host, data.status, data.reason, data.stale, str(data.labels), data.value, data.starts_at)


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("late", [False, True])
def test_a_replay_gives_the_events_of_the_live_run(name: str, late: bool) -> None:
    given = samples(7, late)
    expected = live(RULES[name], given)
    assert len(expected) > 3
    for hours in (0.25, 6):
        events, late_samples = replayed(RULES[name], given, hours)
        assert told(events) == told(expected)
        assert (late_samples > 0) == (late and name in ("threshold", "prometheus", "window"))


def test_episodes_their_minutes_and_the_difference_of_two_versions() -> None:
    given = samples(3, late=False)
    found: list[Episodes] = []
    for threshold in (70.0, 75.0):
        episodes = Episodes()
        rule = replace(RULES["threshold"], warning=Threshold(">", threshold), critical=None, recovery={})
        episodes.add(replayed(rule, given, 1)[0])
        found.append(episodes)
    old, new = found
    assert sum(each.firing_ms(END) for each in new.all) < sum(each.firing_ms(END) for each in old.all)
    assert sum(tally.firing_ms for tally in by_host(old.all, END)) == sum(each.firing_ms(END) for each in old.all)
    same = difference(old.all, old.all)
    assert (same.same, same.added, same.removed, same.changed) == (len(old.all), [], [], [])
    other = difference(old.all, new.all)
    assert other.same + len(other.added) + len(other.changed) == len(new.all)
    assert other.same + len(other.removed) + len(other.changed) == len(old.all)
    assert other.removed


def test_a_silence_over_the_border_of_two_slices_is_seen() -> None:
    replay = Replay(rule_set([RULES["prometheus"]]), [(SERIES[0].host, SERIES[0].labels)], T0)

    def ticks(*minutes: float) -> Samples:
        at = np.array([T0 + int(60_000 * minute) for minute in minutes])
        return Samples(np.zeros(len(at), dtype=np.intp), at, np.full(len(at), 50.0), at)

    first, second = ticks(0, 1, 57), ticks(64, 65, 119)
    assert replay.silent_for(ticks(*range(58)), T0 + 3_600_000, 300_000) == []
    replay.apply_samples(first)
    assert replay.silent_for(ticks(*range(60, 119)), T0 + 7_200_000, 300_000) == []
    assert replay.silent_for(ticks(*range(64, 119)), T0 + 7_200_000, 300_000) == ["h0"]
    assert replay.silent_for(second, T0 + 7_200_000, 300_000) == ["h0"]
