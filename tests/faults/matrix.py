"""Every fault."""

from tests.faults import worker_faults
from tests.faults.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (*worker_faults.SCENARIOS,)
SHORT = tuple(scenario for scenario in SCENARIOS if scenario.short)
