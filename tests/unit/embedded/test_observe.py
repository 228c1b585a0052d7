"""Adding up the processes' own metrics."""

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from infra.embedded.display import line, welcome
from infra.embedded.observe import Rate, Reading, reading_of


def _ingest() -> str:
    metrics = SelfMetrics()
    metrics.set("fleetpulse_ingest_stored_samples_total", 1200.0)
    metrics.set("fleetpulse_consumer_lag_messages", 3.0)
    metrics.set("fleetpulse_consumer_oldest_unprocessed_seconds", 0.5)
    return metrics.exposition()


def _rules() -> str:
    metrics = SelfMetrics()
    metrics.set("fleetpulse_consumer_lag_messages", 4.0)
    metrics.set("fleetpulse_consumer_oldest_unprocessed_seconds", 2.5)
    metrics.set("fleetpulse_alerts_active", 1.0, severity="warning")
    metrics.set("fleetpulse_alerts_active", 2.0, severity="critical")
    return metrics.exposition()


def test_lag_is_added_and_the_oldest_message_counts() -> None:
    reading = reading_of({"ingest": _ingest(), "rules": _rules()}, at=1.0)
    assert reading.stored_samples == 1200.0
    assert reading.lag_messages == 7.0
    assert reading.oldest_seconds == 2.5
    assert reading.alerts_text() == "2 critical, 1 warning"


def test_what_no_process_says_is_not_known_rather_than_zero() -> None:
    reading = reading_of({"ingest": "", "rules": ""}, at=1.0)
    assert reading == Reading(at=1.0)
    assert reading.alerts_text() == "not known"
    text = line(reading, None, 2, 500_000_000, now=0)
    assert "lag not known" in text
    assert "samples counting" in text


def test_no_alert_is_none() -> None:
    assert Reading(at=0.0, alerts={"critical": 0.0}).alerts_text() == "none"


def test_the_rate_is_over_a_window() -> None:
    rate = Rate()
    for second in range(0, 61, 2):
        rate.add(Reading(at=float(second), stored_samples=0.0 if second < 30 else (second - 30) * 100.0))
    assert rate.value() == pytest.approx(100.0)


def test_a_restarted_worker_does_not_make_a_negative_rate() -> None:
    rate = Rate()
    rate.add(Reading(at=0.0, stored_samples=1000.0))
    rate.add(Reading(at=2.0, stored_samples=10.0))
    assert rate.value() is None
    rate.add(Reading(at=4.0, stored_samples=30.0))
    assert rate.value() == pytest.approx(10.0)


def test_the_welcome_names_grafana_only_where_its_user_is_ours() -> None:
    addresses = {"page": "http://127.0.0.1:8000/", "kafka": "k:9092", "clickhouse": "c:9000"}
    ours = welcome({**addresses, "clickhouse_http": "http://c:8123"}, "fleetpulse {}".format, 1.0)
    external = welcome({**addresses, "clickhouse_http": ""}, "fleetpulse {}".format, 1.0)
    assert "fleetpulse grafana" in ours
    assert "fleetpulse grafana" not in external
    assert "fleetpulse simulate --hosts 20 --incident cpu_spike" in external
