"""One known sample from the agent to the page's API, through every stage; uses nothing of ours but the command.

The sample is this machine's MemTotal. A rule file of the test's own averages it and alerts on the average, so that
the same number can be followed: producer → raw table → rollup → rolling aggregate → alert event → history → API.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clickhouse_driver import Client
from kafka import KafkaConsumer

from tests.support.patience import patient
from tests.support.up import ports

pytestmark = pytest.mark.servers

INSTANCE = "one-sample.example:9100"
HOST = "one-sample.example"
RECORDED = "test:memory_total:avg20s"
RULES = f"""
groups:
  - name: one-sample
    rules:
      - record: {RECORDED}
        expr: avg_over_time(node_memory_MemTotal_bytes[20s])
      - alert: OneSample
        expr: {RECORDED}
        critical: "> 1000"
        labels: {{team: test}}
        annotations: {{summary: "{{{{ $labels.instance }}}} has {{{{ $value }}}} bytes"}}
"""
T = TypeVar("T")


def fleetpulse(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "fleetpulse", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=patient(60))


def eventually(check: Callable[[], T | None], seconds: float, log: Path) -> T:
    begin = time.monotonic()
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() - begin > patient(seconds):
            raise AssertionError(f"not within {patient(seconds):.0f} s; `up` said:\n{log.read_text()[-3000:]}")
        time.sleep(0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one_sample")


@pytest.fixture(scope="module")
def env(folder: Path) -> dict[str, str]:
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLEETPULSE_")}
    return (
        inherited
        | ports()
        | {
            "FLEETPULSE_DATA_DIR": str(folder / "data"),
            "FLEETPULSE_RULES_FILES": str(rules),
            "FLEETPULSE_KAFKA_PARTITIONS": "3",
            "FLEETPULSE_AGENT_INTERVAL_SECONDS": "1",
            "FLEETPULSE_AGENT_INSTANCE": INSTANCE,
            "FLEETPULSE_INGEST_LATENESS_SECONDS": "2",
        }
    )


@pytest.fixture(scope="module")
def status(folder: Path, env: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The healthy system's status; at the end SIGINT must stop all of it within 10 seconds with exit code 0."""
    log = folder / "up.log"
    command = [sys.executable, "-P", "-m", "fleetpulse", "up", "--ports", "auto"]
    with log.open("wb") as output:
        up = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    pids: list[int] = []
    try:

        def healthy() -> dict[str, Any] | None:
            assert up.poll() is None, f"`up` ended with {up.returncode}:\n{log.read_text()[-3000:]}"
            answer = fleetpulse("status", "--json", env=env)
            return json.loads(answer.stdout) if answer.returncode == 0 else None

        report = eventually(healthy, 120, log)
        pids = [process["pid"] for process in report["processes"]]
        yield report
    finally:
        up.send_signal(signal.SIGINT)
        try:
            code = up.wait(patient(10))
        finally:
            with suppress(ProcessLookupError):
                up.kill()
    assert code == 0, log.read_text()[-3000:]
    assert [pid for pid in pids if _alive(pid)] == []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def memory_total() -> float:
    """The known number, read from the kernel by the test itself."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return float(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def sql(status: dict[str, Any], env: dict[str, str]) -> Iterator[Client]:
    """ClickHouse as Grafana sees it."""
    grafana = json.loads(fleetpulse("grafana", "--json", env=env).stdout)
    password = Path(grafana["password_file"]).read_text().strip()
    client = Client(grafana["host"], grafana["port"], grafana["database"], grafana["user"], password)
    yield client
    client.disconnect()


def test_one_sample_travels_the_whole_path(
    status: dict[str, Any], folder: Path, sql: Client, memory_total: float
) -> None:
    log = folder / "up.log"

    # 1. psutil → agent → Kafka → ingest → raw table
    raw_query = (
        "SELECT toUnixTimestamp64Milli(timestamp), value, host, labels['instance'] "
        "FROM metrics_of(metric='node_memory_MemTotal_bytes', hosts=['one-sample.example']) ORDER BY timestamp"
    )
    raw = eventually(lambda: sql.execute(raw_query), 30, log)
    tick_ms, value, owner, instance = raw[0]
    assert (value, owner, instance) == (memory_total, HOST, INSTANCE)
    assert tick_ms % 1000 == 0, "the agent stamps the tick"

    # 2. rules → rolling aggregate, back through Kafka and ingest
    rolling_query = (
        f"SELECT value FROM metrics_of(metric='{RECORDED}', hosts=['one-sample.example']) ORDER BY timestamp"
    )
    rolling = eventually(lambda: sql.execute(rolling_query), 100, log)
    assert rolling[0][0] == memory_total

    # 3. rules → alert event on the topic, read by a plain consumer
    data = _event(status["addresses"]["kafka"], memory_total)

    # 4. history → ClickHouse
    history_query = f"SELECT value, transition, status FROM alert_history WHERE episode = '{data['episode']}'"
    stored = eventually(lambda: sql.execute(history_query), 30, log)
    assert (float(stored[0][0]), *stored[0][1:]) == (memory_total, data["transition"], "firing")

    # 5. ingest → one-minute rollup of the sample's own bucket
    minute_ms = tick_ms // 60_000 * 60_000
    rollup_query = (
        "SELECT min, max, count FROM metrics_1m_of(metric='node_memory_MemTotal_bytes', hosts=['one-sample.example']) "
        f"WHERE toUnixTimestamp(timestamp) * 1000 = {minute_ms}"
    )
    [(least, most, count)] = eventually(lambda: sql.execute(rollup_query), 90, log)
    assert least == most == memory_total
    in_bucket = f"SELECT count() FROM ({raw_query}) WHERE toUnixTimestamp64Milli(timestamp) < {minute_ms + 60_000}"
    [(raw_count,)] = sql.execute(in_bucket.replace("toUnixTimestamp64Milli(timestamp), value", "timestamp, value"))
    assert count == raw_count

    # 6. the API's answer
    _check_the_api(status["addresses"]["page"].rstrip("/"), tick_ms, memory_total)


def _event(bootstrap: str, memory_total: float) -> dict[str, Any]:
    """The data of the first alert event, which must be about the sample."""
    event = _first_event(bootstrap)
    data: dict[str, Any] = event["data"]
    assert event["specversion"] == "1.0"
    assert event["type"] == "fleetpulse.alert.v1"
    assert data["status"] == "firing"
    assert data["labels"] == {
        "alertname": "OneSample", "instance": INSTANCE, "job": "node", "severity": "critical", "team": "test",
    }  # fmt: skip
    assert float(data["value"]) == memory_total
    assert INSTANCE in data["annotations"]["summary"]
    return data


def _check_the_api(page: str, tick_ms: int, memory_total: float) -> None:
    """The sample of that tick, its host and its alert, as the API answers."""
    samples = _get(
        f"{page}/api/fleet/v1/samples?metric=node_memory_MemTotal_bytes&host={HOST}&start={tick_ms / 1000}"
        f"&end={tick_ms / 1000 + 1}&step=1s"
    )
    assert samples["tier"] == "raw"
    assert samples["series"][0]["points"][0] == [tick_ms, memory_total]
    assert HOST in [host["host"] for host in _get(f"{page}/api/fleet/v1/hosts")["hosts"]]
    alerts = _get(f"{page}/api/v1/alerts")["data"]["alerts"]
    assert [(alert["labels"]["alertname"], alert["state"]) for alert in alerts] == [("OneSample", "firing")]


def _first_event(bootstrap: str) -> dict[str, Any]:
    consumer = KafkaConsumer(
        "fleetpulse.alerts",
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        group_id=None,
        consumer_timeout_ms=100_000,
    )
    try:
        message = next(iter(consumer))
    finally:
        consumer.close()
    event: dict[str, Any] = json.loads(message.value)
    assert message.key.decode() == event["data"]["fingerprint"]
    return event


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=patient(10)) as answer:
        return json.load(answer)
