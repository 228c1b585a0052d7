"""The shipped rules about the pipeline, on own metrics as the processes publish them."""

import socket
from collections.abc import Callable

import pytest

from fleetpulse.events import AlertEvent
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.rules.model import Threshold
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.rules.state import read_records
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_block
from fleetpulse.topics import Topic
from fleetpulse.wire import Frame, encode_frame
from stream_processors.inbox import Message

START_MS = 1_800_000_000_000
TICK_MS = 10_000
HOST = socket.gethostname()


class Pipeline:
    """The processes of one machine, each with a message of its own at every tick, and the rules that read them."""

    def __init__(self) -> None:
        self.processes = {name: SelfMetrics() for name in ("rules", "ingest", "history")}
        self.events: list[AlertEvent] = []
        self._rules = PartitionRules(load(shipped_packs()), 0, 1)
        self._rules.start(0)
        self._rules.restore(read_records([]), None, 0, 0)
        self._offset = 0
        self._now_ms = START_MS
        self.behind(ingest=0, rules=0, history=0)

    def behind(self, **seconds: float) -> None:
        for process, age in seconds.items():
            self.processes[process].set("fleetpulse_consumer_oldest_unprocessed_seconds", age)

    def run(self, seconds: int, fail: Callable[[], None] = lambda: None) -> None:
        """Ticks of 10 s; `fail` is called at each."""
        for _ in range(seconds * 1000 // TICK_MS):
            self._now_ms += TICK_MS
            fail()
            for process, metrics in self.processes.items():
                frame = encode_frame(Frame(1, self._now_ms, [own_block(process, metrics, self._now_ms)]))
                message = Message("fleetpulse.metrics", 0, self._offset, self._now_ms, HOST.encode(), frame, [])
                self.events += self._rules.apply([message]).events
                self._offset += 1

    def shown(self) -> list[tuple[str, str, str, str]]:
        """(alert, instance, severity, status) of every event."""
        labels = [(event.data.labels, event.data.status) for event in self.events]
        return [(each["alertname"], each["instance"], each["severity"], status) for each, status in labels]


def test_an_alert_comes_at_half_of_the_retention_and_a_warning_well_before() -> None:
    pipeline = Pipeline()
    pipeline.run(300)
    pipeline.behind(ingest=3_000)
    pipeline.run(300)
    assert pipeline.events == []
    pipeline.behind(ingest=4_000)
    pipeline.run(100)
    pipeline.behind(ingest=86_500)
    pipeline.run(100)
    pipeline.behind(ingest=5)
    pipeline.run(100)
    alert = ("PipelineBehind", f"{HOST}/ingest")
    assert pipeline.shown() == [
        (*alert, "warning", "firing"),
        (*alert, "critical", "firing"),
        (*alert, "critical", "resolved"),
    ]
    assert {event.data.host for event in pipeline.events} == {HOST}
    assert pipeline.events[1].data.annotations["summary"] == f"{HOST}/ingest is 1d 0h 1m 40s behind"


def test_the_threshold_is_half_of_the_topics_retention() -> None:
    (behind,) = (rule for rule in load(shipped_packs()).alerts if rule.name == "PipelineBehind")
    retention_ms = Topic.METRICS.value.retention_ms
    assert retention_ms is not None
    assert behind.critical == Threshold(">", retention_ms / 2 / 1000)
    assert behind.warning is not None
    assert behind.warning.value < behind.critical.value / 2


@pytest.mark.parametrize(
    ("alert", "process", "counter", "labels"),
    [
        ("PipelineDeadLetters", "ingest", "fleetpulse_dead_letters_total", {"reason": "version"}),
        ("PipelineInsertsFail", "ingest", "fleetpulse_ingest_insert_errors_total", {}),
        ("PipelineInsertsFail", "history", "fleetpulse_history_insert_errors_total", {}),
        ("PipelineSamplesDropped", "rules", "fleetpulse_publish_dropped_samples_total", {}),
        ("PipelineSamplesDropped", "rules", "fleetpulse_publish_failed_samples_total", {}),
    ],
)
def test_what_fails_warns_while_it_goes_on(alert: str, process: str, counter: str, labels: dict[str, str]) -> None:
    pipeline = Pipeline()
    pipeline.run(100)
    pipeline.run(200, lambda: pipeline.processes[process].add(counter, 1.0, **labels))
    assert pipeline.shown() == [(alert, f"{HOST}/{process}", "warning", "firing")]
    pipeline.run(400)
    assert pipeline.shown()[1:] == [(alert, f"{HOST}/{process}", "warning", "resolved")]


def test_the_host_with_too_many_series_is_named() -> None:
    pipeline = Pipeline()
    pipeline.run(100)
    labels = {"offender": "web-1", "reason": "host_series_limit"}
    refused = "fleetpulse_ingest_refused_series_total"
    pipeline.run(200, lambda: pipeline.processes["ingest"].add(refused, 50.0, **labels))
    [event] = pipeline.events
    assert (event.data.labels["alertname"], event.data.labels["offender"]) == ("PipelineSeriesRefused", "web-1")
    assert event.data.annotations["summary"] == "web-1 sends too many series"


@pytest.mark.parametrize(("samples", "messages", "said"), [(3, 0, "3"), (0, 8, "8")])
def test_what_the_audit_cannot_explain_is_critical(samples: int, messages: int, said: str) -> None:
    pipeline = Pipeline()
    audit = pipeline.processes["audit"] = SelfMetrics()
    pipeline.run(100)
    for found in ((0, 0), (samples, messages), (0, 0)):
        audit.set("fleetpulse_audit_unexplained_samples", found[0])
        audit.set("fleetpulse_audit_unexplained_messages", found[1])
        pipeline.run(100)
    alert = ("PipelineUnexplained", f"{HOST}/audit", "critical")
    assert pipeline.shown() == [(*alert, "firing"), (*alert, "resolved")]
    assert pipeline.events[0].data.annotations["summary"] == f"{said} samples or messages are unexplained"


def test_messages_that_kafka_deleted_unread_are_critical() -> None:
    pipeline = Pipeline()
    pipeline.run(100, lambda: pipeline.processes["ingest"].add("fleetpulse_ingest_missing_messages_total", 0.0))
    pipeline.run(20, lambda: pipeline.processes["ingest"].add("fleetpulse_ingest_missing_messages_total", 7.0))
    assert pipeline.shown() == [("PipelineMessagesLost", f"{HOST}/ingest", "critical", "firing")]


@pytest.mark.parametrize(
    ("alert", "process", "gauge", "value", "labels"),
    [
        ("PipelineManySeries", "ingest", "fleetpulse_ingest_series", 1_700_000.0, {}),
        ("PipelineAuditStale", "audit", "fleetpulse_audit_time_seconds", START_MS / 1000 - 11_000, {}),
        ("PipelineReceiverFails", "notify", "fleetpulse_notify_failing_seconds", 400.0, {"receiver": "ops"}),
    ],
)
def test_gauges_that_warn(alert: str, process: str, gauge: str, value: float, labels: dict[str, str]) -> None:
    pipeline = Pipeline()
    pipeline.processes.setdefault(process, SelfMetrics()).set(gauge, value, **labels)
    pipeline.run(400)
    assert pipeline.shown() == [(alert, f"{HOST}/{process}", "warning", "firing")]


def test_the_watchdog_fires_for_ever_where_a_rules_worker_runs() -> None:
    pipeline = Pipeline()
    for process in ("ingest", "history"):
        pipeline.processes[process].set("fleetpulse_process_start_time_seconds", 1.0)
    pipeline.run(300)
    assert pipeline.events == []
    pipeline.processes["rules"].set("fleetpulse_process_start_time_seconds", 1.0)
    pipeline.run(900)
    [event] = pipeline.events
    assert (event.data.status, event.data.host, event.data.value) == ("firing", HOST, "1")
    assert {name: event.data.labels[name] for name in ("alertname", "host", "severity")} == {
        "alertname": "Watchdog",
        "host": HOST,
        "severity": "none",
    }
