"""Explain: the time line of value and state, and the one thing that held an alert back."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from fleetpulse.hindsight.arrivals import arrivals
from fleetpulse.rules.condition import condition_of
from fleetpulse.rules.explain import TimeLine, needed_from_ms, thinned, time_line
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold
from fleetpulse.rules.verdict import Known, Mute, Verdict, verdict
from fleetpulse.storage.history import StoredSamples, StoredSeries
from tests.support.rules_world import T0, alert

HOT = alert(expr="temperature_celsius > 80", warning=None, critical=None, for_ms=120_000, labels={})
SERIES = [
    StoredSeries(1, "a", {"__name__": "temperature_celsius", "instance": "a"}),
    StoredSeries(2, "a", {"__name__": "up", "instance": "a"}),
]
FROM, AT = T0, T0 + 1_800_000
Curve = Callable[[int], float | None]  # seconds since T0 → the value


def samples(temperature: Curve, up: Curve = lambda second: 1.0) -> StoredSamples:
    found: list[tuple[int, int, float]] = []
    for number, curve in enumerate((temperature, up)):
        for second in range(-1800, 1801, 30):
            value = curve(second)
            if value is not None:
                found.append((number, T0 + 1000 * second, value))
    numbers, times, values = zip(*found, strict=True)
    return StoredSamples(np.array(numbers), np.array(times), np.array(values))


def line(
    temperature: Curve, up: Curve = lambda second: 1.0, rule: Rule = HOT, late: Mapping[int, int] | None = None
) -> TimeLine:
    arriving = arrivals(SERIES, samples(temperature, up), late or {})
    return time_line(rule, arriving, needed_from_ms(rule, FROM), FROM, AT)


def of(temperature: Curve, up: Curve = lambda second: 1.0, rule: Rule = HOT) -> Verdict:
    return verdict(line(temperature, up, rule), Known())


def test_it_fires_since() -> None:
    found = of(lambda second: 90 if second >= 600 else 50)
    assert (found.reason, found.since_ms) == ("firing", T0 + 720_000)
    assert "the value is 90" in found.sentence


def test_the_value_is_shown_also_below_the_threshold_with_each_state() -> None:
    (track,) = line(lambda second: 90.0 if second >= 600 else 50.0).tracks
    assert {point.value for point in track.points if point.state == "inactive"} == {50.0}
    assert [(span.state, (span.from_ms - T0) // 1000) for span in track.spans] == [
        ("inactive", 0),
        ("pending", 600),
        ("firing", 720),
    ]


def test_for_is_not_over() -> None:
    found = of(lambda second: 90 if second >= 1740 else 50)
    assert (found.reason, found.since_ms, found.until_ms) == ("for_not_over", T0 + 1_740_000, T0 + 1_860_000)
    assert "'for: 2m' is not over" in found.sentence


def test_below_its_threshold_since() -> None:
    found = of(lambda second: 90 if second < 900 else 50)
    assert (found.reason, found.since_ms) == ("below_threshold", T0 + 900_000)
    assert "the value is 50, needed is > 80; it resolved at" in found.sentence


def test_a_silent_host_is_told_apart_from_one_that_lives_without_the_series() -> None:
    hot = lambda second: 50.0 if second < 600 else None  # noqa: E731
    assert of(hot, hot).reason == "host_silent"
    gone = of(hot)
    assert (gone.reason, gone.since_ms) == ("no_data", T0 + 570_000)
    assert of(lambda second: None).reason == "no_series"


def test_a_rule_without_an_answer_says_so_until_it_has_one() -> None:
    pairs = replace(HOT, expr="temperature_celsius * on (instance) up > 1")
    twin = StoredSeries(3, "a", {"__name__": "up", "instance": "a", "job": "twin"})

    def twins(seconds: range) -> Verdict:
        stored = samples(lambda second: 0.0)
        more = [T0 + 1000 * second for second in seconds]
        both = StoredSamples(
            np.concatenate([stored.series, np.full(len(more), 2)]),
            np.concatenate([stored.ts, more]),
            np.concatenate([stored.value, np.ones(len(more))]),
        )
        arriving = arrivals([*SERIES, twin], both, {})
        return verdict(time_line(pairs, arriving, needed_from_ms(pairs, FROM), FROM, AT), Known())

    found = twins(range(600, 1801, 30))
    assert (found.reason, found.since_ms) == ("evaluation_fails", T0 + 600_000)
    assert "duplicate series" in found.sentence
    assert twins(range(600, 660, 30)).reason == "below_threshold"


def test_a_firing_alert_of_a_silent_host_is_stale_and_a_pending_one_waits() -> None:
    found = line(lambda second: 90 if second < 600 else None, lambda second: 1.0 if second < 600 else None)
    assert [span.state for span in found.tracks[0].spans] == ["firing", "stale"]
    assert verdict(found, Known()).reason == "host_silent"
    pending = lambda second: None if second > 600 else 90.0 if second >= 570 else 50.0  # noqa: E731
    held = of(pending, lambda second: None if second > 600 else 1.0)
    assert held.reason == "host_silent"
    assert "pending since" in held.sentence


def test_what_only_late_data_shows_is_not_paged() -> None:
    def hot(second: int) -> float:
        return 90.0 if second >= 600 else 50.0

    late = {T0 + 60_000 * minute: AT + 3_600_000 for minute in range(10, 31)}
    arrived, timely = line(hot, late=late), line(hot)
    assert verdict(timely, Known()).reason == "firing"
    found = verdict(arrived, Known(timely))
    assert (found.reason, found.since_ms) == ("late_data", T0 + 720_000)
    assert "not paged" in found.sentence


def test_mutes_are_named_before_anything_else() -> None:
    hot = line(lambda second: 90)
    fingerprint = hot.tracks[0].fingerprint
    mute = Mute("silenced", "s-1", "silence s-1 keeps it quiet")
    found = verdict(hot, Known(mutes={fingerprint: [mute]}))
    assert (found.reason, list(found.by)) == ("silenced", ["s-1"])
    assert verdict(hot, Known(paged=[])).reason == "not_paged"
    assert verdict(hot, Known(paged=hot.events)).reason == "firing"


@pytest.mark.parametrize(
    ("expr", "value", "text"),
    [
        ("a > 0.8", "a", "> 0.8"),
        ("0.5 <= (a / b)", "(a / b)", ">= 0.5"),
        ("a > b", "a", "> b"),
        ("a == 0 and b > 1", "a", "== 0"),
        ("a and b > 24 * 3600", "b", "> 86400"),
        ("a > bool 1", "a > bool 1", ""),
        ("rate(a[5m])", "rate(a[5m])", ""),
        ("a < -(2)", "a", "< -2"),
    ],
)
def test_the_comparison_is_taken_out_of_an_expression(expr: str, value: str, text: str) -> None:
    found = condition_of(replace(HOT, expr=expr))
    assert (found.value, found.text) == (value, text)


def test_a_rule_with_thresholds_is_its_own_value() -> None:
    rule = replace(HOT, expr="a", warning=Threshold(">", 1.0), recovery={Severity.WARNING: Threshold("<", 0.5)})
    assert condition_of(rule).value == "a"
    assert rule.kind is RuleKind.ALERT


def test_thinning_keeps_ends_and_changes() -> None:
    (track,) = line(lambda second: 90 if second >= 600 else 50).tracks
    assert thinned(track.points) == track.points
    many = [replace(track.points[0], at_ms=at) for at in range(10_000)]
    many[5001] = replace(many[5001], state="pending")
    kept = thinned(many)
    assert len(kept) < 2010
    assert many[0] in kept
    assert many[-1] in kept
    assert many[5001] in kept
