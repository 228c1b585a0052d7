"""Silence by append time: nobody is silent because we lag, and an outage of the source silences nobody."""

import numpy as np

from fleetpulse.rules.silence import Head, Silence

LIMIT = 120_000


def silence(*hosts: tuple[int, int]) -> Silence:
    made = Silence(LIMIT)
    for host, last_ms in hosts:
        made.restore(host, last_ms, silent=False)
    return made


def send(made: Silence, host: int, at_ms: int) -> list[tuple[int, int]]:
    return made.seen(np.array([host]), np.array([at_ms]))


def walk(made: Silence, until_ms: int, step_ms: int = 10_000) -> list[tuple[int, int]]:
    start = max(made.position_ms, 0)
    return [fallen for at_ms in range(start, until_ms + 1, step_ms) for fallen in made.advance(at_ms)]


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
    assert all(made.advance(100_000) == [] for _ in range(100))


def test_a_gap_of_the_whole_partition_restarts_the_timers() -> None:
    made = silence((0, 0), (1, 0))
    made.advance(10_000)
    assert made.advance(900_000) == []
    send(made, 0, 900_000)
    assert walk(made, 1_020_000) == []
    assert walk(made, 1_040_000) == [(0, 1_020_000), (1, 1_020_000)]


def test_due_is_never_false_when_somebody_would_fall_silent() -> None:
    generator = np.random.default_rng(3)
    made = silence()
    position = 0
    for _ in range(3_000):
        position += int(generator.integers(1, 8_000))
        due = made.due(position)
        fallen = made.advance(position)
        assert due or not fallen
        host = int(generator.integers(0, 100))
        send(made, host, position)


def test_a_silent_host_brought_back_is_not_told_again() -> None:
    made = Silence(LIMIT)
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
