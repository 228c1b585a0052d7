"""Every fault."""

from tests.faults import clickhouse_faults, clock_faults, data_faults, kafka_faults, process_faults, worker_faults
from tests.faults.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *data_faults.SCENARIOS,
    *worker_faults.SCENARIOS,
    *clickhouse_faults.SCENARIOS,
    *clock_faults.SCENARIOS,
    *kafka_faults.SCENARIOS,
    *process_faults.SCENARIOS,
)
SHORT = tuple(scenario for scenario in SCENARIOS if scenario.short)
