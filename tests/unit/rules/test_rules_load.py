"""Rule files: what is read, and that every complaint names file, line, field and remedy."""

from pathlib import Path

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.rules.check import check
from fleetpulse.rules.fields import parse_duration
from fleetpulse.rules.load import load, read, read_text, shipped_packs
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold

GOOD = """
groups:
  - name: g
    interval: 30s
    labels: {team: infra}
    rules:
      - record: host:x:sum
        expr: |
          sum without (n) (x)
        labels: {kind: total}
      - alert: XHigh
        expr: x / y
        for: 1m30s
        keep_firing_for: 2m
        no_data: 5m
        warning: "> 0.8"
        critical: ">= 9.5e-1"
        recovery: {warning: "< 0.75"}
        labels: {area: "{{ $labels.n }}"}
        annotations:
          summary: "{{ $labels.instance }} is at {{ $value | humanizePercentage }}"
      - alert: Plain
        expr: x > 5
        labels: {severity: page}
"""


def complaints(text: str) -> list[str]:
    return [str(error) for error in read_text("f.yaml", text)[1]]


def in_rule(*lines: str) -> str:
    return "\n".join(["groups:", "- name: g", "  rules:", f"  - {lines[0]}", *(f"    {line}" for line in lines[1:])])


def test_a_file_is_read() -> None:
    (group,), errors = read_text("f.yaml", GOOD)
    assert errors == []
    assert (group.name, group.interval_ms, group.line) == ("g", 30_000, 3)
    record, alert, plain = group.rules
    assert (record.kind, record.name, record.expr, record.line) == (
        RuleKind.RECORD,
        "host:x:sum",
        "sum without (n) (x)",
        7,
    )
    assert record.labels == {"team": "infra", "kind": "total"}
    assert (alert.for_ms, alert.keep_firing_for_ms, alert.no_data_ms) == (90_000, 120_000, 300_000)
    assert (alert.warning, alert.critical) == (Threshold(">", 0.8), Threshold(">=", 0.95))
    assert alert.recovery == {Severity.WARNING: Threshold("<", 0.75)}
    assert alert.has_thresholds
    assert not plain.has_thresholds
    assert plain.place == "f.yaml:22"


def test_a_plain_prometheus_file_of_the_node_mixin_is_read() -> None:
    text = """
groups:
- name: node-exporter
  rules:
  - alert: NodeFilesystemAlmostOutOfSpace
    annotations:
      description: Filesystem on {{ $labels.device }} has only {{ printf "%.2f" $value }}% available space left.
    expr: node_filesystem_avail_bytes{fstype!=""} / node_filesystem_size_bytes{fstype!=""} * 100 < 5
    for: 30m
    labels: {severity: warning}
  - alert: NodeFilesystemAlmostOutOfSpace
    expr: node_filesystem_avail_bytes{fstype!=""} / node_filesystem_size_bytes{fstype!=""} * 100 < 3
    for: 30m
    labels: {severity: critical}
"""
    groups, errors = read_text("f.yaml", text)
    assert errors == []
    assert [rule.labels["severity"] for rule in groups[0].rules] == ["warning", "critical"]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["foo: x"], "f.yaml:4: a rule needs 'record: NAME' or 'alert: NAME'"),
        (["record: a"], "f.yaml:4: record rule: field 'expr' is missing or empty"),
        (["record: a b", "expr: x"], "f.yaml:4: record rule: field 'record': metric name 'a b' is not valid"),
        (
            ["record: a", "expr: x", "for: 1m"],
            "f.yaml:6: record rule: unknown field 'for'; allowed are record, expr, labels",
        ),
        (["alert: A", "exprr: x", "expr: x"], "f.yaml:5: alert rule: unknown field 'exprr'; did you mean 'expr'?"),
        (["alert: A", "expr: x", "expr: y"], "f.yaml:6: alert rule: field 'expr' is given twice"),
        (["alert: A", "expr: rat(x[5m])"], "f.yaml:5: alert rule: field 'expr': unknown function with name 'rat'"),
        (["alert: A", "expr: 'x{a=~\"(\"}'"], "f.yaml:5: alert rule: field 'expr':"),
        (["alert: A", "expr: x", "for: 5 min"], "f.yaml:6: alert rule: field 'for': '5 min' is not a duration"),
        (["alert: A", "expr: x", "warning: 5"], "f.yaml:6: alert rule: field 'warning': '5' is not a comparison"),
        (["alert: A", "expr: x", "warning: '> five'"], "f.yaml:6: alert rule: field 'warning': '> five' is not"),
        (["alert: A", "expr: x > 1", "warning: '> 5'"], "f.yaml:5: alert rule: field 'expr': compares already"),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "critical: '> 4'"],
            "f.yaml:7: alert rule: field 'critical': '> 4' holds before 'warning: > 5'",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "critical: '< 4'"],
            "f.yaml:7: alert rule: field 'critical': points another way than 'warning: > 5'",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "recovery: {warning: '< 6'}"],
            "f.yaml:7: alert rule: field 'recovery': 'warning: < 6' overlaps 'warning: > 5'",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "recovery: {warning: '> 4'}"],
            "f.yaml:7: alert rule: field 'recovery': 'warning: > 4' overlaps",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "recovery: {critical: '< 4'}"],
            "f.yaml:7: alert rule: field 'recovery': there is no 'critical' to recover from",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "recovery: {warn: '< 4'}"],
            "f.yaml:7: alert rule: field 'recovery': unknown severity 'warn'; did you mean 'warning'?",
        ),
        (
            ["alert: A", "expr: x", "warning: '> 5'", "labels: {severity: page}"],
            "f.yaml:7: alert rule: field 'labels': 'severity' is set by the threshold",
        ),
        (["alert: A", "expr: x", "labels: {a b: c}"], "f.yaml:6: alert rule: field 'labels': label name 'a b'"),
        (["alert: A", "expr: x", "labels: [a]"], "f.yaml:6: alert rule: field 'labels': must be a mapping"),
        (["alert: A", "expr: x", "labels: {a: [b]}"], "f.yaml:6: alert rule: labels 'a' must be text"),
        (["record: a", "expr: x", "labels: {instance: b}"], "f.yaml:6: record rule: field 'labels': 'host' and"),
        (
            ["alert: A", "expr: x", "annotations:", "  one: fine", "  two: '{{ $value | humanise }}'"],
            "f.yaml:8: alert rule: field 'annotations': template action {{ $value | humanise }}",
        ),
        (["alert: A", "expr: [x]"], "f.yaml:5: alert rule: field 'expr': must be text"),
    ],
)
def test_each_mistake_has_its_place_and_remedy(lines: list[str], complaint: str) -> None:
    found = complaints(in_rule(*lines))
    assert len(found) == 1
    assert found[0].startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("groups: [", "f.yaml:1: not YAML"),
        ("a: b", "f.yaml:1: the file: unknown field 'a'; allowed are groups"),
        ("- a", "f.yaml:1: the file must be a mapping"),
        ("groups: {}", "f.yaml:1: the file: field 'groups': must be a list"),
        ("groups:\n- rules: []", "f.yaml:2: group: field 'name' is missing"),
        ("groups:\n- {name: a, intervall: 5s}", "f.yaml:2: group: unknown field 'intervall'; did you mean 'interval'?"),
        ("groups:\n- {name: a, limit: 5}", "f.yaml:2: group: field 'limit': is not supported"),
        ("groups:\n- {name: a}\n- {name: a}", "f.yaml:3: group 'a' is in the file twice"),
    ],
)
def test_mistakes_outside_of_rules(text: str, complaint: str) -> None:
    found = complaints(text)
    assert len(found) == 1
    assert found[0].startswith(complaint)


@pytest.fixture(autouse=True)
def no_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", "http://127.0.0.1:1")


def test_everything_wrong_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(in_rule("alert: A", "expr: rat(x[5m])", "for: soon") + "\n  - record: ok\n    expr: x\n")
    with pytest.raises(RuleError) as caught:
        load([bad, tmp_path / "absent.yaml"])
    *wrong, absent = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in wrong] == ["6", "5"]
    assert absent == f"there is no rule file {tmp_path / 'absent.yaml'}"
    assert check([str(bad)]) == 1
    out, err = capsys.readouterr()
    assert f"{bad}:7: record ok: stream engine, every series it reads is of one host: the newest samples of x" in out
    assert out.endswith("1 rule is good, 2 errors\n")
    *said, note = err.splitlines()
    assert len(said) == 2
    assert note.startswith("not checked: whether the rules match any series, ")
    assert "the API does not answer at http://127.0.0.1:1: " in note


def test_files_that_cannot_be_read_are_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"groups: \xff")
    for file, sentence in (
        (tmp_path / "absent.yaml", f"there is no rule file {tmp_path / 'absent.yaml'}"),
        (tmp_path, f"the rule file {tmp_path} cannot be read: is a directory"),
        (binary, f"the rule file {binary} cannot be read: it is not UTF-8 text"),
    ):
        assert check([str(file)]) == 1
        out, err = capsys.readouterr()
        assert (out, err) == ("0 rules are good, 1 error\n", f"{sentence}\n")


@pytest.mark.parametrize("text", ["", "# nothing\n", "groups: []\n", "groups:\n- name: g\n  rules: []\n"])
def test_a_check_of_no_rules_is_an_error(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text(text)
    assert load([empty]).rules == ()  # a worker may run without rules
    assert check([str(empty)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"no rules in {empty}: ")


def test_rules_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(in_rule("alert: A", "expr: x"))
    two.write_text(in_rule("alert: A", "expr: y"))
    rules, errors = read([one, two])
    assert [str(error) for error in errors] == [
        f"{two}:4: alert rule 'A' is also at {one}:4: give one of them another name or label"
    ]
    assert len(rules.rules) == 2


def test_the_shipped_packs_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert check([]) == 0
    assert "host:cpu_utilisation:ratio_rate1m: stream engine" in capsys.readouterr().out
    rules = load(shipped_packs())
    assert {f"host:{what}" for what in ("cpu_utilisation:ratio_rate", "memory_utilisation:ratio_avg")} <= {
        rule.name.rstrip("15m") for rule in rules.recordings
    }
    assert len(rules.recordings) == 21
    assert {rule.name for rule in rules.alerts} == {
        "HostSilent",
        "HostCpuSaturated",
        "HostCpuHigh",
        "HostMemoryHigh",
        "HostFilesystemFull",
        "HostInodesUsedUp",
        "HostLoadHigh",
        "HostNetworkErrors",
        "PipelineBehind",
        "PipelineDeadLetters",
        "PipelineInsertsFail",
        "PipelineSeriesRefused",
        "PipelineUnexplained",
        "PipelineAuditStale",
        "PipelineManySeries",
        "PipelineMessagesLost",
        "PipelineReceiverFails",
        "PipelineRuleFails",
        "PipelineRulesRefused",
        "PipelineSamplesDropped",
        "PipelineSamplesRefused",
        "Watchdog",
    }


def test_the_identity_of_a_rule() -> None:
    def rule(expr: str = "x", for_ms: int = 0, **labels: str) -> Rule:
        return Rule("A", RuleKind.ALERT, expr, "f", 1, "g", labels=labels, for_ms=for_ms)

    assert rule().hash == rule(for_ms=5).hash
    assert len({rule().hash, rule("y").hash, rule(a="b").hash}) == 3
    (groups, _) = read_text("f.yaml", in_rule("alert: A", "expr: x", "labels: {severity: a}"))
    assert groups[0].rules[0].labels == {"severity": "a"}


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("5m", 300_000), ("1h30m", 5_400_000), ("1d2h3m4s5ms", 93_784_005), ("1w", 604_800_000), ("m", None)],
)
def test_durations(text: str, milliseconds: int | None) -> None:
    assert parse_duration(text) == milliseconds


def test_a_rule_that_crosses_hosts_waits_for_the_ruler_and_spoils_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(in_rule("alert: A", "expr: sum(x) > 5") + "\n  - record: ok\n    expr: x\n")
    rules = load([file])
    assert [rule.name for rule in rules.rules] == ["ok"]
    (waiting,) = rules.waiting
    assert (waiting.rule.name, waiting.rule.line, waiting.reason) == ("A", 4, "crosses_hosts")
    assert check([str(file)]) == 0
    out = capsys.readouterr().out
    assert f"{file}:4: alert A: waits for the ruler, " in out
    assert out.endswith("2 rules are good, 0 errors; 1 waits for the ruler and is not evaluated yet\n")


def test_a_waiting_rule_is_checked_like_any_other() -> None:
    text = in_rule("alert: A", "expr: sum(x) > 5", "annotations: {a: '{{ $valu }}'}")
    groups, (error,) = read_text("f.yaml", text)
    assert groups[0].waiting == ()
    assert (error.file, error.line, error.field, error.reason) == ("f.yaml", 6, "annotations", "template")
    assert str(error) == f"f.yaml:6: {error.detail}"


@pytest.mark.parametrize(
    ("expr", "complains"),
    [
        ("x > 5", False),
        ("sum by (instance) (x) > 5", True),
        ("5 < sum by (instance, device) (x)", False),
        ("max without (device) (x) > 5", True),
        ("x / on (instance) y > 5", True),
        ("x * on (instance) group_left (device) y > 5", False),
        ("topk by (instance) (3, x) > 5", False),
        ("x and on (instance) y", False),
        ("(sum by (instance) (x) > 5) unless y", True),
    ],
)
def test_a_label_that_the_result_cannot_have_is_named_in_a_template(expr: str, complains: bool) -> None:
    text = in_rule("alert: A", f"expr: {expr}", "annotations: {a: '{{ $labels.device }} {{ $labels.instance }}'}")
    _, errors = read_text("f.yaml", text)
    assert [(error.line, error.field, error.reason) for error in errors] == [(6, "annotations", "template")] * complains
    assert all("{{ $labels.device }} is never there" in str(error) for error in errors)


def test_annotations_see_the_labels_of_the_alert_and_labels_do_not() -> None:
    rule = ("alert: A", "expr: sum by (host) (x) > 5")
    fine = in_rule(*rule, "labels: {team: a}", "annotations: {a: '{{ $labels.team }} {{ $labels.alertname }}'}")
    assert read_text("f.yaml", fine)[1] == []
    (error,) = read_text("f.yaml", in_rule(*rule, "labels: {team: '{{ $labels.team }}'}"))[1]
    assert "allowed are host" in str(error)


def test_a_window_longer_than_the_retention_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        in_rule("alert: A", "expr: rate(x[16d]) > 5")
        + "\n  - alert: B\n    expr: 'avg_over_time(x{a=\"[90d] offset 90d\"}[15d]) > 5'"
        + "\n  - alert: C\n    expr: 'rate(x[8d:1h] offset 8d) > 5'"
        + "\n  - alert: D\n    expr: 'x > x offset 20d'\n"
    )
    assert check([str(file)]) == 1
    *said, _ = capsys.readouterr().err.splitlines()
    assert [line.partition(" than raw samples are kept, 15 days: make it shorter, or ")[0] for line in said] == [
        f"{file}:4: alert rule 'A': field 'expr': the window [16d] is longer",
        f"{file}:8: alert rule 'C': field 'expr': the window [8d] with its offset 8d reaches further back",
        f"{file}:10: alert rule 'D': field 'expr': the offset 20d reaches further back",
    ]
