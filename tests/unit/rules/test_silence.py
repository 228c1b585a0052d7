"""Silence by append time: nobody is silent because we lag, and an outage of the source silences nobody."""

import numpy as np

from fleetpulse.rules.silence import Head, Silence

LIMIT = 120_000


class Walked(Silence):
    """Moves its own position, as the partition does."""

    position_ms = 0

    def move(self, position_ms: int) -> list[tuple[int, int]]:
        previous_ms, self.position_ms = self.position_ms, position_ms
        return self.advance(position_ms, previous_ms)


def silence(*hosts: tuple[int, int]) -> Walked:
    made = Walked(LIMIT)
    for host, last_ms in hosts:
        made.restore(host, last_ms, silent=False)
    return made


def send(made: Silence, host: int, at_ms: int) -> list[tuple[int, int]]:
    return made.seen(np.array([host]), np.array([[at_ms], [at_ms]]))


def walk(made: Walked, until_ms: int, step_ms: int = 10_000) -> list[tuple[int, int]]:
    return [fallen for at_ms in range(made.position_ms, until_ms + 1, step_ms) for fallen in made.move(at_ms)]


def test_a_host_is_silent_once_the_position_is_past_its_limit() -> None:
    made = silence((0, 0), (1, 50_000))
    assert walk(made, 120_000) == []
    assert walk(made, 130_000) == [(0, 120_000)]
    assert walk(made, 180_000) == [(1, 170_000)]
    assert walk(made, 900_000) == []
    assert made.is_silent(0)
    assert made.is_silent(1)


def test_it_returns_once_and_can_fall_silent_again() -> None:
    made = silence((0, 0))
    walk(made, 200_000)
    assert send(made, 0, 200_000) == [(0, 200_000)]
    assert send(made, 0, 210_000) == []
    assert walk(made, 400_000) == [(0, 330_000)]


def test_the_moment_does_not_depend_on_how_far_the_position_steps() -> None:
    fine, coarse = silence((0, 0), (1, 20_000)), silence((0, 0), (1, 20_000))
    assert walk(fine, 150_000, 1_000) == walk(coarse, 150_000, 50_000) == [(0, 120_000), (1, 140_000)]


def test_a_position_that_does_not_move_silences_nobody() -> None:
    made = silence((0, 0))
    walk(made, 100_000)
    assert all(made.move(100_000) == [] for _ in range(100))


def test_a_gap_of_the_whole_partition_restarts_the_timers() -> None:
    made = silence((0, 0), (1, 0))
    made.move(10_000)
    assert made.move(900_000) == []
    send(made, 0, 900_000)
    assert walk(made, 1_020_000) == []
    assert walk(made, 1_040_000) == [(0, 1_020_000), (1, 1_020_000)]


def test_nobody_falls_silent_before_the_deadline() -> None:
    generator = np.random.default_rng(3)
    made = silence()
    for _ in range(3_000):
        position_ms = made.position_ms + int(generator.integers(1, 8_000))
        deadline_ms = made.deadline_ms
        fallen = made.move(position_ms)
        assert position_ms > deadline_ms or not fallen
        send(made, int(generator.integers(0, 100)), position_ms)


def test_a_silent_host_brought_back_is_not_told_again() -> None:
    made = silence()
    made.restore(3, 0, silent=True)
    made.restore(4, 0, silent=False)
    assert walk(made, 300_000) == [(4, 120_000)]
    assert made.last_seen_ms(3) == 0
    assert made.last_seen_ms(99) < 0


def test_wall_time_counts_only_between_successful_fetches_at_the_end() -> None:
    head = Head()
    assert head.waited(None) == 0
    assert head.waited(1_000_000) == 0
    assert head.waited(1_001_500) == 1_500
    assert head.waited(1_001_500) == 1_500, "no fetch, no time"
    assert head.waited(1_003_000) == 3_000
    assert head.waited(9_000_000) == 3_000, "an outage, a stall or a step of the clock is not silence"
    assert head.waited(9_001_000) == 4_000
    assert head.waited(8_000_000) == 4_000
    assert head.waited(None) == 4_000, "behind the end again"
    assert head.waited(8_100_000) == 4_000
    head.message()
    assert head.waited(8_101_000) == 0
