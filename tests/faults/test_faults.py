"""The short faults of the matrix, all in one world: nothing missing, nothing twice, nothing wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.brokers import shared_broker
from tests.faults.matrix import SHORT
from tests.faults.runner import Outcome, run_group
from tests.faults.world import World
from tests.support.servers import ClickHouseServer, KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]

SEED = 4


@pytest.fixture(scope="module")
def outcomes(
    kafka: KafkaServer, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Outcome]]:
    """What came of each."""
    folder: Path = tmp_path_factory.mktemp("faults")
    world = World(shared_broker(kafka), clickhouse, folder, closes_in=40.0)
    try:
        yield {outcome.scenario.name: outcome for outcome in run_group(world, SHORT, SEED, print, short=True)}
    finally:
        world.close()


@pytest.mark.parametrize("name", [scenario.name for scenario in SHORT])
def test_nothing_is_lost_or_counted_twice_when(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert not outcome.skipped, outcome.skipped
    assert outcome.verdict.evidence, outcome.verdict.notes
    assert outcome.verdict.sent > 0
    assert outcome.verdict.passed, f"{outcome.verdict}\n" + "\n".join(outcome.verdict.notes)
