"""What promtool has not: severities, silent hosts, late samples and the events themselves."""

import json
from pathlib import Path

import pytest

from fleetpulse.rules.testing.command import main
from fleetpulse.rules.testing.suite import Check, Suite
from fleetpulse.rules.testing.unit_file import read_unit_file

RULES = """
groups:
  - name: hosts
    rules:
      - record: host:heat
        expr: temperature_celsius
      - {alert: Hot, expr: "host:heat", warning: "> 80", critical: "> 95", for: 1m, recovery: {warning: "< 70"}}
      - {alert: Down, expr: "up == 0", no_data: 2m}
      - {alert: Plain, expr: "temperature_celsius > 80", for: 1m}
"""
HEAD = "rule_files: [rules.yaml]\nevaluation_interval: 30s\ntests:\n"


def write(folder: Path, tests: str) -> Path:
    (folder / "rules.yaml").write_text(RULES)
    path = folder / "tests.yaml"
    path.write_text(HEAD + tests)
    return path


def checks(folder: Path, tests: str) -> list[Check]:
    return list(Suite(read_unit_file(write(folder, tests))).checks())


SEVERITIES = """\
  - interval: 30s
    input_series:
      - {series: 'temperature_celsius{instance="a"}', values: "50 85x2 99x3 75 60"}
    alert_rule_test:
      - eval_time: 1m30s
        alertname: Hot
        exp_alerts: [{exp_labels: {instance: a, severity: warning}, exp_stale: false}]
    event_test:
      - alertname: Hot
        exp_events:
          - {at: 1m30s, status: firing, severity: warning, reason: threshold, value: 85, threshold: "> 80"}
          - {at: 3m, severity: critical, previous_severity: warning, reason: severity_changed, transition: 2}
          - {at: 4m, severity: warning, previous_severity: critical}
          - {at: 4m30s, status: resolved, reason: recovered, host: a, labels: {alertname: Hot}}
"""


def test_severities_and_the_recovery_of_a_recorded_series(tmp_path: Path) -> None:
    found = checks(tmp_path, SEVERITIES)
    assert [check.differences for check in found] == [[], []]


SILENT = """\
  - interval: 30s
    input_series:
      - {series: 'up{instance="a"}', values: "1x4 _x20 1x3"}
      - {series: 'up{instance="b"}', values: "1x30"}
      - {series: 'temperature_celsius{instance="a"}', values: "90x4 _x20 60x3"}
    alert_rule_test:
      - {eval_time: 3m, alertname: Plain, exp_alerts: [{exp_labels: {instance: a}}]}
      - {eval_time: 11m, alertname: Plain}
      - {eval_time: 5m, alertname: Down, exp_alerts: [
          {exp_labels: {instance: a}, exp_annotations: {no_data: "a has sent nothing for this rule"}}]}
    event_test:
      - alertname: Down
        exp_events:
          - {at: 4m, status: firing, reason: no_data, host: a}
          - {at: 12m30s, status: resolved, reason: data_returned}
      - alertname: Plain
        exp_events:
          - {at: 1m, status: firing, stale: false}
          - {at: 7m, status: firing, stale: true, reason: no_data}
          - {at: 12m30s, status: resolved, reason: recovered, stale: false}
"""


def test_a_silent_host_fires_no_data_and_keeps_its_alert(tmp_path: Path) -> None:
    found = checks(tmp_path, SILENT)
    assert [check.differences for check in found] == [[]] * 5


def test_a_note_says_what_the_stream_does_otherwise_than_prometheus(tmp_path: Path) -> None:
    notes = [note for check in checks(tmp_path, SILENT) for note in check.notes]
    assert len(notes) == 1
    assert "its host is silent: the alert stays, stale" in notes[0]


LATE = """
  - interval: 30s
    input_series:
      - {series: 'temperature_celsius{instance="a", n="1"}', values: "50x30"}
      - {series: 'temperature_celsius{instance="a", n="2"}', values: "90x3 stale", delay: %s}
    event_test: [{alertname: Plain, exp_events: %s}]
"""


def test_what_only_late_samples_show_is_not_paged(tmp_path: Path) -> None:
    fires = "[{at: 1m, status: firing}, {at: 2m, status: resolved}]"
    assert checks(tmp_path, LATE % ("0s", fires))[0].differences == []
    assert checks(tmp_path, LATE % ("6m", "[]"))[0].differences == []


def test_differences_name_line_and_what_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SEVERITIES.replace("at: 3m,", "at: 4m30s,").replace("instance: a, severity", "severity"))
    assert main([str(path)]) == 1
    shown = capsys.readouterr().out
    assert f"{path}:8: FAILED alert Hot at 1m30s" in shown
    assert "label instance: expected None, got 'a'" in shown
    assert "line 15: differs:    event at 3m: firing critical (severity_changed)" in shown
    assert "at: expected 4m30s, got 3m" in shown
    assert f"{path}: 0 passed, 2 failed" in shown


def test_json_has_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SEVERITIES)
    assert main([str(path), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["files"]
    assert (report["passed"], report["failed"], report["error"]) == (2, 0, "")
    assert [check["line"] for check in report["checks"]] == [8, 12]


@pytest.mark.parametrize(
    ("tests", "complaint"),
    [
        ("  - {interval: 1x}", "tests.yaml:4: test: field 'interval': '1x' is not a duration"),
        ("  - {input_serie: []}", "unknown field 'input_serie'; did you mean 'input_series'?"),
        (
            "  - input_series:\n      - {series: up, values: 1+x3}",
            "tests.yaml:5: input series: field 'values': '1+x3' is",
        ),
        ("  - input_series:\n      - {series: 'up{a=~\"b\"}', values: 1}", "is no series: write name{label="),
        ("  - input_series:\n      - {series: '{a=\"b\"}', values: 1}", "has no metric name"),
        ("  - alert_rule_test: [{eval_time: 1m}]", "field 'alertname' is missing or empty"),
        ("  - event_test: [{alertname: Hot, exp_events: [{status: firing}]}]", "field 'at' is missing or empty"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tests: str, complaint: str
) -> None:
    assert main([str(write(tmp_path, tests))]) == 2
    assert complaint in capsys.readouterr().err


def test_wrong_rules_and_names_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "  - alert_rule_test: [{eval_time: 1m, alertname: Ho}]\n    external_labels: {a: b}")
    assert main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "no rule is named 'Ho'; did you mean 'Hot'?" in shown
    assert "note: 'external_labels' is ignored" in shown
    (tmp_path / "rules.yaml").write_text("groups: [{name: x, rules: [{alert: A, expr: 'up ='}]}]")
    assert main([str(path), str(tmp_path / "nowhere.yaml")]) == 2
    err = capsys.readouterr().err
    assert "rules.yaml:1: alert rule: field 'expr'" in err
    assert "nowhere.yaml cannot be read: no such file or directory" in err


def test_an_expression_that_does_not_run_on_the_stream_fails_with_its_reason(tmp_path: Path) -> None:
    (check,) = checks(tmp_path, "  - promql_expr_test: [{expr: 'sum(up)', eval_time: 1m}]")
    assert "cannot be evaluated" in check.differences[0][1]
