"""The scenarios of `tests/scenarios` on columns, as a back-test reads them: the same events as the live rules."""

import pytest

from tests.support.scenario_stored import ColumnsPlayer, is_timely, not_stored
from tests.support.scenarios import Scenario, scenarios

ALL = scenarios()
PLAYED = [scenario for scenario in ALL if not not_stored(scenario)]


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name)
def test_columns_give_the_events_of_the_scenario(scenario: Scenario) -> None:
    assert ColumnsPlayer().play(scenario) == list(scenario.events)


def test_what_history_cannot_tell_is_left_out_and_nothing_else() -> None:
    left_out = {scenario.name for scenario in ALL} - {scenario.name for scenario in PLAYED}
    assert left_out == {
        "end_of_partition", "host_departed", "rule_changed", "rule_deleted", "rule_edited", "rules_replaced",
    }  # fmt: skip
    untimely = {scenario.name for scenario in PLAYED if not is_timely(scenario)}
    assert untimely == {"clock_back", "clock_forward", "delivered_late", "late_samples"}
