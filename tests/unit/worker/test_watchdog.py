"""The watchdog ends what makes no progress, and nothing else."""

from itertools import count

import pytest

from stream_processors.watchdog import watch


def ticks_until_given_up(beats: list[float]) -> int:
    """How many ticks it waited; the last beat stays for ever."""
    read = iter(beats)
    slept: list[float] = []
    last = beats[-1]
    watch(lambda: next(read, last), 5.0, slept.append)
    return len(slept)


def test_no_progress_is_counted_from_the_last_beat() -> None:
    assert ticks_until_given_up([1.0]) == 5
    assert ticks_until_given_up([1.0, 1.0, 1.0, 2.0, 2.0, 3.0]) == 5 + 5


def test_a_process_that_was_stopped_for_long_is_not_stuck() -> None:
    """Between two ticks hours may pass: only a beat that does not come while the watchdog ticks is missing."""
    beats = count(0.0, 4000.0)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 100:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        watch(lambda: next(beats), 5.0, sleep)
