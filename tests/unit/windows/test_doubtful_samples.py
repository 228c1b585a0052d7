"""Which samples the engine calls doubtful: every one that is not new is among them, whoever stored the first copy."""

import random

import numpy as np
import pytest

from fleetpulse.windows.arrange import arrange
from fleetpulse.windows.engine import MINUTE_MS, Windows

SERIES = 4
RANK = np.arange(SERIES, dtype=np.int64)
START_MS = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS


def test_every_repeated_sample_is_doubtful_across_owners() -> None:
    numbers = np.zeros(3, dtype=np.int64)  # repeated, doubtful, certainly new
    for seed in range(60):
        chance = random.Random(seed)
        stored: set[tuple[int, int]] = set()
        touched: set[int] = set()
        engine = Windows(0)
        for step in range(40):
            if chance.random() < 0.1:  # another owner, which knows the minutes only
                engine = Windows(0, touched)
            newest = START_MS + step * 20_000
            samples = [
                (chance.randrange(SERIES), newest - chance.choice([0, 1_000, 5_000, 90_000]) // 1000 * 1000)
                for _ in range(chance.randrange(1, 8))
            ]
            dense, ts = (np.array(column) for column in zip(*samples, strict=True))
            batch = arrange(dense.astype(np.int32), ts.astype(np.int64), np.ones(len(ts)), RANK)
            applied = engine.apply(batch, SERIES)
            repeated, doubtful = set(applied.repeated.tolist()), set(applied.doubtful.tolist())
            assert not repeated & doubtful
            for place, key in enumerate(zip(batch.dense.tolist(), batch.ts.tolist(), strict=True)):
                assert place in doubtful or (place in repeated) == (key in stored), (seed, step, key)
                stored.add(key)
            touched.update(key[1] // MINUTE_MS for key in stored)
            numbers += [len(repeated), len(doubtful), len(batch.ts) - len(repeated) - len(doubtful)]
    assert min(numbers) > 500  # neither all nor nothing


@pytest.mark.parametrize(("second", "doubtful"), [(30, [0]), (60, [])])
def test_a_new_owner_doubts_only_the_minutes_that_others_touched(second: int, doubtful: list[int]) -> None:
    engine = Windows(0, [START_MS // MINUTE_MS])
    batch = arrange(np.zeros(1, np.int32), np.array([START_MS + second * 1000]), np.ones(1), RANK)
    assert engine.apply(batch, SERIES).doubtful.tolist() == doubtful


def test_an_inherited_minute_stays_doubtful_after_it_has_closed() -> None:
    engine = Windows(0, [START_MS // MINUTE_MS])
    engine.close(START_MS + 10 * MINUTE_MS)
    batch = arrange(np.zeros(1, np.int32), np.array([START_MS]), np.ones(1), RANK)
    assert engine.apply(batch, SERIES).doubtful.tolist() == [0]
