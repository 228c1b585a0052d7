"""Plays scenarios on the pure rules of a partition: message by message, in batches, or killed now and then."""

import random
from dataclasses import dataclass
from itertools import groupby

from fleetpulse.wire import Header
from tests.support.rules_world import T0, World
from tests.support.scenarios import Forget, Replace, Restart, Scenario, Send, Step, Told, Wait, told

WINDOWS_SECONDS = 3600


@dataclass(frozen=True)
class PurePlayer:
    """`most` messages a batch, at random; `kill`: after every fifth batch or so another worker takes over."""

    most: int = 1
    kill: bool = False

    def play(self, scenario: Scenario) -> list[Told]:
        """The events, as the worker would have published them."""
        dice = random.Random(scenario.name)
        world = World(scenario.rule_set().rules, conduct=scenario.conduct)
        batch: list[Send] = []
        for step in scenario.steps:
            if isinstance(step, Send):
                batch.append(step)
                if len(batch) >= dice.randint(1, self.most):
                    self._apply(world, batch, dice)
                continue
            self._apply(world, batch, dice)
            _besides(world, scenario, step)
        self._apply(world, batch, dice)
        return told(world.events, T0, scenario.labels)

    def _apply(self, world: World, batch: list[Send], dice: random.Random) -> None:
        if batch:
            times = groupby(batch, lambda send: send.at_ms if self.most > 1 else id(send))
            together = [list(sends) for _, sends in times]  # in batches, hosts of one moment are one message
            messages = [world.publish(each[0].at_ms / 1000, *(send.block(T0) for send in each)) for each in together]
            world.done(world.live.apply(messages))
            batch.clear()
            if self.kill and dice.random() < 0.2:
                world.restart(seconds=WINDOWS_SECONDS)


def _besides(world: World, scenario: Scenario, step: Step) -> None:
    if isinstance(step, Restart):
        rules = None if step.rules is None else scenario.rule_set(step.rules).rules
        world.restart(rules, seconds=WINDOWS_SECONDS)
    elif isinstance(step, Replace):
        world.replace(scenario.rule_set(step.rules).rules, WINDOWS_SECONDS)
    elif isinstance(step, Wait):
        world.done(world.live.wait(step.for_ms))
    elif isinstance(step, Forget):
        headers = [(str(Header.DEPARTED), step.host.encode())]
        world.send(step.at_ms / 1000, headers=headers)
