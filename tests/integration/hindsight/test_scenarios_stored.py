"""The scenarios of `tests/scenarios`, stored in ClickHouse and back-tested: the events that the live worker sends."""

import pytest

from tests.support.databases import Database
from tests.support.scenario_stored import StoredPlayer, is_timely, not_stored
from tests.support.scenarios import scenarios

pytestmark = pytest.mark.servers

SCENARIOS = [scenario for scenario in scenarios() if is_timely(scenario) and not not_stored(scenario)]


def test_a_backtest_tells_what_the_scenarios_say(database: Database) -> None:
    player = StoredPlayer(database.url, SCENARIOS)
    player.store()
    for scenario in SCENARIOS:
        assert player.play(scenario) == list(scenario.events), scenario.name
