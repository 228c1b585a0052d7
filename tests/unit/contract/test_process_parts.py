"""Clock, own metrics, logging and the command: what every process is made of."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from fleetpulse import cli, logs
from fleetpulse.clock import ManualClock, SystemClock, to_datetime, to_rfc3339
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import METRICS, SelfMetrics


def test_the_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(5_000)
    assert (clock.now_ms(), clock.monotonic()) == (5_000, 5.0)
    clock.advance(250)
    assert (clock.now_ms(), clock.monotonic()) == (5_250, 5.25)


def test_the_system_clock_is_in_milliseconds() -> None:
    assert abs(SystemClock().now_ms() - datetime.now(UTC).timestamp() * 1000) < 1000
    assert SystemClock().monotonic() <= SystemClock().monotonic()


def test_times_at_the_edges_are_utc() -> None:
    assert to_rfc3339(1_767_225_600_123) == "2026-01-01T00:00:00.123Z"
    assert to_rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert to_datetime(1_767_225_600_123).tzinfo is UTC


def test_an_own_metric_that_is_not_listed_fails() -> None:
    metrics = SelfMetrics()
    for call in (metrics.add, metrics.forget, metrics.get):
        with pytest.raises(KeyError, match="fleetpulse_nonsense"):
            call("fleetpulse_nonsense")
    with pytest.raises(KeyError):
        metrics.set("fleetpulse_nonsense", 1.0)


def test_listed_metrics_are_named_by_prometheus_habits() -> None:
    for name, spec in METRICS.items():
        assert name.startswith("fleetpulse_")
        assert name.endswith("_total") == (spec.kind == "counter"), name
        assert spec.sentence.endswith("."), name


def test_own_metrics_as_exposition() -> None:
    metrics = SelfMetrics()
    metrics.add("fleetpulse_dead_letters_total", reason='od"d')
    metrics.add("fleetpulse_dead_letters_total", 2, reason="shape")
    metrics.set("fleetpulse_publish_buffered_bytes", 7)
    metrics.set("fleetpulse_ingest_series", 1)
    metrics.forget("fleetpulse_ingest_series")
    assert metrics.get("fleetpulse_dead_letters_total", reason="shape") == 2
    assert metrics.exposition() == (
        "# HELP fleetpulse_dead_letters_total Messages written to fleetpulse.metrics-dead, by reason.\n"
        "# TYPE fleetpulse_dead_letters_total counter\n"
        'fleetpulse_dead_letters_total{reason="od\\"d"} 1.0\n'
        'fleetpulse_dead_letters_total{reason="shape"} 2.0\n'
        "# HELP fleetpulse_publish_buffered_bytes Bytes of frames waiting for Kafka in memory.\n"
        "# TYPE fleetpulse_publish_buffered_bytes gauge\n"
        "fleetpulse_publish_buffered_bytes 7\n"
    )


def formatted(style: logs.LogFormat, capsys: pytest.CaptureFixture[str]) -> str:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    kafka_level = logging.getLogger("kafka").level
    try:
        logs.set_up("tests", style=style)
        logging.getLogger("x.y").info('said "it"', extra=log_fields(rows=10, path="/a b", empty=""))
        logging.getLogger("kafka.conn").error("one of many attempts failed")
        return capsys.readouterr().err
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("kafka").setLevel(kafka_level)


def test_log_lines_are_key_value_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    line = formatted("text", capsys)
    assert line.startswith("ts=2")
    assert line.endswith('level=info process=tests logger=x.y msg="said \\"it\\"" rows=10 path="/a b" empty=""\n')


def test_log_lines_are_json_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(formatted("json", capsys))
    assert record["msg"] == 'said "it"'
    assert record["rows"] == 10
    assert record["process"] == "tests"


def test_errors_are_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA_PARTITIONS", "many")
    assert cli.main(["agent", "--once"]) == 2
    assert capsys.readouterr().err == (
        "fleetpulse agent: FLEETPULSE_KAFKA_PARTITIONS is 'many': it must be a whole number\n"
    )
    assert cli.main(["nonsense"]) == 2
    assert "no command 'nonsense'" in capsys.readouterr().err


def test_usage_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert cli.main(["--help"]) == 0
    assert cli.main(["--version"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


def test_a_missing_extra_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "agent", ("not_installed_package.main:main", "x"))
    assert cli.main(["agent"]) == 2
    assert "lacks the package 'not_installed_package'" in capsys.readouterr().err


def test_the_agents_imports_stay_small() -> None:
    heavy = "numpy faust clickhouse_driver fastapi pydantic aiokafka"
    code = f"import sys, producers.agent.main; print([m for m in {heavy.split()!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
