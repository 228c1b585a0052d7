"""Which metrics our producers send, beside the producers themselves; and what `rules check` says of the others."""

from contextlib import suppress
from pathlib import Path

import pytest

from fleetpulse.promql.parse import parse
from fleetpulse.rules.check import check
from fleetpulse.rules.sent import is_sent, not_sent
from producers.agent.collectors import all_collectors
from producers.agent.proc import Roots
from producers.agent.samples import NoDataError
from producers.simulator.layout import layout


def name_of(key: str) -> str:
    return key.partition("{")[0]


def test_what_the_agent_sends_of_this_machine_is_known() -> None:
    found: set[str] = set()
    for collector in all_collectors().values():
        with suppress(NoDataError):
            found |= {name_of(key) for key, _ in collector(Roots())}
    assert len(found) > 50
    assert {name for name in found if not is_sent(name)} == set()


def test_what_the_simulator_sends_is_known() -> None:
    names = {name_of(each.key) for each in layout(500)}
    assert len(names) > 20
    assert {name for name in names if not is_sent(name)} == set()


def test_what_nobody_sends_is_named() -> None:
    expr = parse("node_timex_offset_seconds > 0.05 and on (instance) a:b == 1 and on (instance) node_load1 > 1")
    assert not_sent(expr, ["a:b"]) == ["node_timex_offset_seconds"]
    assert not_sent(expr, []) == ["node_timex_offset_seconds", "a:b"]
    assert not is_sent("node_load2")
    assert is_sent("fleetpulse_rules_samples_total")


def test_check_says_which_rule_reads_what_nobody_sends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", "http://127.0.0.1:1")
    path = tmp_path / "rules.yaml"
    path.write_text(
        "groups:\n- name: a\n  rules:\n  - {record: own:load, expr: node_load1}\n"
        "  - {alert: Skew, expr: node_timex_offset_seconds > own:load}\n"
        "  - {alert: Fleet, expr: count(up == 0) > 3}\n"
        "  - {alert: Long, expr: 'rate(node_load1[1d]) > 0'}\n"
        "  - {alert: Sub, expr: 'max_over_time(node_load1[1h:1m]) > 0'}\n"
        "  - {alert: At, expr: node_load1 @ end() > 0}\n"
        "  - {alert: Slow, expr: 'quantile_over_time(0.9, node_load1[1h] offset 30m) > 0'}\n"
        "  - {alert: Quick, expr: 'quantile_over_time(0.9, node_load1[5m]) > avg_over_time(node_load1[6h])'}\n"
    )
    assert check([str(path)]) == 0
    _, skew, slow, quick, fleet, long, sub, at, total = capsys.readouterr().out.splitlines()
    assert skew.endswith("; nothing that comes with Fleetpulse sends node_timex_offset_seconds")
    assert "; quantile_over_time() has no sub-buckets: every sample of 5400 s stays in memory" in slow
    assert "sub-buckets" not in quick
    assert "waits for the ruler" in fleet
    assert "what crosses hosts" in fleet
    assert "further back than 6 hours" in long
    assert "subquery" in sub
    assert "@ modifier" in at
    assert total == "8 rules are good, 0 errors; 4 wait for the ruler and are not evaluated yet"
