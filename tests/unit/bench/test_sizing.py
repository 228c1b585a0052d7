"""The sizing table: computed from costs, linear in hosts, and honest about what is missing."""

from typing import Any

import pytest

from bench.sizing import Costs, computed, costs_of, measured


def _reports() -> list[dict[str, Any]]:
    case = {
        "samples": 1_000_000,
        "with_derived": {"cpu_seconds": {"ingest": 0.5, "clickhouse": 0.4, "broker": 0.1}},
        "rules": {"samples": 2_000_000, "cpu_seconds": {"rules": 0.6, "broker_out": 0.2}},
    }
    stores = [
        {"what": "ours: raw samples", "values": "recording", "bytes_per_sample": 0.5},
        {"what": "ours: raw samples", "values": "noise", "bytes_per_sample": 8.0},
        {"what": "ours: samples_1m", "values": "recording", "bytes_per_sample": 1.0},
        {"what": "ours: samples_1h", "values": "recording", "bytes_per_sample": 0.25},
        {"what": "Kafka's log, all frames of it", "values": "recording", "bytes_per_sample": 2.0},
    ]
    return [
        {"benchmark": "ingest", "figures": {"ours": [case]}},
        {"benchmark": "storage", "figures": {"stores": stores}},
        {"benchmark": "engine", "figures": {"cases": [{"bytes_per_series": 600.0}]}},
    ]


def test_costs_come_from_the_recording_and_with_rules() -> None:
    costs = costs_of(_reports())
    assert costs == Costs(0.5, 0.4, 0.3, 0.2, 2.0, 0.5, 1.0, 0.25, 600.0)
    assert costs.all_us == pytest.approx(1.4)
    assert "| ClickHouse, raw | 0.5 | bytes a sample |" in measured(costs)


def test_a_thousand_hosts() -> None:
    row = next(line for line in computed(costs_of(_reports())).splitlines() if line.startswith("| 1,000 |"))
    # 50,000 samples/s · 1.4 µs is 0.07 cores, twice that; 4.32 G samples a day
    assert row == "| 1,000 | 500,000 | 50,000 | 0.14 | 16 | 30 | 362 | 734 | 0.28 |"


def test_a_missing_benchmark_is_named() -> None:
    with pytest.raises(KeyError, match="storage"):
        costs_of(_reports()[:1])
