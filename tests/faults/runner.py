"""Plays groups of faults, each group in a world of its own, and judges them."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.faults.judge import commands, judge, look, wait_closed
from tests.faults.scenario import Scenario
from tests.faults.stage import NotInjected, Stage
from tests.faults.verdict import NeedsError, Verdict
from tests.faults.world import World

Say = Callable[[str], None]
MOST_NOTE = 300  # characters


@dataclass(frozen=True)
class Outcome:
    """One fault's verdict; `skipped` says why it was not played; `when` is UTC."""

    scenario: Scenario
    verdict: Verdict
    seconds: float
    seed: int
    skipped: str = ""
    when: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M"))

    @property
    def passed(self) -> bool:
        return not self.skipped and self.verdict.passed


def run_group(world: World, scenarios: Sequence[Scenario], seed: int, say: Say, short: bool = False) -> list[Outcome]:
    """Play the faults one after the other, judge them with merges stopped, merge everything, judge again."""
    outcomes: list[Outcome] = []
    stages: dict[str, Stage] = {}
    for scenario in scenarios:
        say(f"{scenario.name}: {scenario.done}")
        begun = time.monotonic()
        stage = Stage(world, scenario.name, seed, short)
        skipped = _play(scenario, stage)
        if not skipped:
            stages[scenario.name] = stage
        outcomes.append(Outcome(scenario, stage.verdict, time.monotonic() - begun, seed, skipped))
        say(f"  {skipped or stage.verdict.evidence or stage.verdict.notes}, {outcomes[-1].seconds:.0f} s")
    if stages:
        _judge_all(world, list(stages.values()), say)
    return outcomes


def _play(scenario: Scenario, stage: Stage) -> str:
    """Empty, or why the fault was skipped. What goes wrong is noted in the verdict."""
    try:
        stage.verdict.evidence = scenario.play(stage)
        stage.visible()
    except NeedsError as error:
        return str(error)
    except NotInjected as error:
        stage.verdict.notes.append(f"not injected: {error}")
    except Exception as error:
        stage.verdict.notes.append(f"{type(error).__name__}: {error}"[:MOST_NOTE].splitlines()[0])
        traceback.print_exc()
    finally:
        stage.end()
        stage.world.heal()
    return ""


def _judge_all(world: World, stages: list[Stage], say: Say) -> None:
    world.settle("a", "b")
    say("waiting for the last minute to close")
    wait_closed(stages)
    for stage in stages:
        judge(stage)
    commands(world, stages)
    world.merge()
    for stage in stages:
        if len(stage.expected):
            stage.verdict.merge(look(stage))
        say(f"{stage.name}: {stage.verdict}")
        for note in stage.verdict.notes:
            say(f"    {note}")
