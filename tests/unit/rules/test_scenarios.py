"""Every scenario of `tests/scenarios` on the pure rules of one partition, however its messages come."""

import pytest

from tests.support.scenario_players import PurePlayer
from tests.support.scenarios import Scenario, scenarios

SCENARIOS = scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_one_message_after_another(scenario: Scenario) -> None:
    assert PurePlayer().play(scenario) == list(scenario.events)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_in_batches_and_killed_now_and_then(scenario: Scenario) -> None:
    assert PurePlayer(most=60).play(scenario) == list(scenario.events)
    assert PurePlayer(most=60, kill=True).play(scenario) == list(scenario.events)
