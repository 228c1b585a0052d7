"""Rules whose evaluation fails: somebody is told, by the log, by own metrics, and by an alert of the shipped pack."""

import logging

import pytest

from fleetpulse.clock import ManualClock
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.rules.partition import Failure, PartitionRules
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_block
from fleetpulse.wire import join_keys, make_block
from stream_processors.rules.failures import AGAIN_MS, MOST_RULES, Failures
from tests.support.rules_world import T0, World, alert, block

PAIRS = alert(name="Pairs", expr="up * on (instance) group_right temperature_celsius > 1", warning=None, critical=None)
FAILED = "fleetpulse_rules_failed_timestamp_seconds"


def test_a_failure_names_the_first_host_and_counts_all_ticks() -> None:
    world = World((PAIRS,))
    keys = ['up{instance="b",n="1"}', 'up{instance="b",n="2"}', 'temperature_celsius{instance="b"}']
    twins = [make_block("b", {}, join_keys(keys), T0 + 1000 * second, [1.0, 1.0, 90.0]) for second in (10, 20)]
    outcome = world.send(21, block("a", 10, 90.0), *twins)
    assert outcome.failures.keys() == {"Pairs"}
    ticks, host, cause = outcome.failures["Pairs"]
    assert (ticks, host) == (2, "b")
    assert "duplicate series" in cause
    assert world.send(31, block("a", 20, 90.0)).failures == {}


def test_it_is_logged_once_in_a_while_and_dated_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock, metrics = ManualClock(T0), SelfMetrics()
    failures = Failures(metrics, clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            failures.take({"Pairs": Failure(2, "b", "two partners")})
            clock.advance(1000)
        assert len(caplog.records) == 1
        assert metrics.get("fleetpulse_rules_failures_total") == 6
        assert metrics.get(FAILED, rule="Pairs") == T0 / 1000 + 2
        clock.advance(AGAIN_MS)
        failures.take({"Pairs": Failure(1, "b", "two partners")})
        assert len(caplog.records) == 2


def test_not_every_rule_of_thousands_gets_a_series_of_its_own() -> None:
    metrics = SelfMetrics()
    Failures(metrics, ManualClock(T0)).take({f"R{n}": Failure(1, "a", "why") for n in range(MOST_RULES + 50)})
    assert sum(FAILED in key for key, _ in metrics.samples()) == MOST_RULES
    assert metrics.get("fleetpulse_rules_failures_total") == MOST_RULES + 50


def test_the_shipped_pack_tells_while_a_rule_fails() -> None:
    world, metrics = World(load(shipped_packs()).alerts), SelfMetrics()
    world.live = PartitionRules(load(shipped_packs()), 0, 1)
    events = []
    for second in range(0, 900, 10):
        if 100 <= second < 200:
            metrics.set(FAILED, T0 / 1000 + second, rule="Pairs")
        metrics.set("fleetpulse_rules_refused", float(100 <= second < 200), group="mine")
        sent = world.publish(second + 1, own_block("rules", metrics, T0 + 1000 * second))
        events += world.live.apply([sent]).events
    labels = [(event.data.labels, event.data.status) for event in events]
    told = [(each["alertname"], status, each.get("rule", each.get("group"))) for each, status in labels]
    assert sorted(one for one in told if one[0].startswith("PipelineRule")) == [
        ("PipelineRuleFails", "firing", "Pairs"),
        ("PipelineRuleFails", "resolved", "Pairs"),
        ("PipelineRulesRefused", "firing", "mine"),
        ("PipelineRulesRefused", "resolved", "mine"),
    ]
