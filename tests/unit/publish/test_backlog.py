"""The frames that wait for Kafka: the budget, the order, and the count of every loss."""

from random import Random

from fleetpulse.publish.backlog import Backlog, Parcel
from fleetpulse.topics import HOUR_MS
from fleetpulse.wire import VERSION, Control, Dropped, Frame, encode_frame, make_block

BASE_MS = 490_000 * HOUR_MS


def parcel(host: str = "h", samples: int = 10, hour: int = 0, born: float = 0.0) -> Parcel:
    block = make_block(host, {}, b"\n".join([b"k"] * samples), BASE_MS + hour * HOUR_MS + 5, [0.0] * samples)
    return Parcel(host, 0, encode_frame(Frame(VERSION, 0, [block])), samples, False, born)


SIZE = len(parcel().value)


def test_the_oldest_frames_are_dropped_first() -> None:
    backlog = Backlog(3 * SIZE, 3 * SIZE)
    parcels = [parcel(hour=n) for n in range(5)]
    assert [backlog.add(one) for one in parcels] == [[], [], [], [parcels[0]], [parcels[1]]]
    assert backlog.bytes == 3 * SIZE
    assert backlog.take_losses() == [Dropped("h", BASE_MS, 10), Dropped("h", BASE_MS + HOUR_MS, 10)]
    assert backlog.take_losses() == []
    assert [backlog.take() for _ in range(4)] == [*parcels[2:], None]


def test_what_the_client_has_is_never_dropped_for_something_new() -> None:
    backlog = Backlog(2 * SIZE, 2 * SIZE)
    first, second, third = parcel(), parcel(), parcel()
    backlog.add(first)
    backlog.add(second)
    assert (backlog.take(), backlog.take()) == (first, second)
    assert backlog.add(third) == [third]
    backlog.recall()
    assert backlog.add(third) == [third]
    assert (backlog.take(), backlog.take()) == (first, second)


def test_the_window_bounds_what_the_client_has() -> None:
    backlog = Backlog(100 * SIZE, 2 * SIZE)
    parcels = [parcel() for _ in range(3)]
    for one in parcels:
        backlog.add(one)
    assert [backlog.take() for _ in range(3)] == [parcels[0], parcels[1], None]
    assert backlog.settle(parcels[0])
    assert backlog.take() is parcels[2]


def test_a_frame_larger_than_the_window_still_goes_alone() -> None:
    backlog = Backlog(100 * SIZE, 10)
    one = parcel()
    backlog.add(one)
    assert backlog.take() is one


def test_numbers_have_no_gap_and_are_kept_when_a_frame_goes_again() -> None:
    backlog = Backlog(100 * SIZE, 100 * SIZE)
    parcels = [parcel() for _ in range(4)]
    for one in parcels:
        backlog.add(one)
    for _ in range(3):
        backlog.take()
    backlog.settle(parcels[1])
    backlog.recall()
    again = [backlog.take() for _ in range(4)]
    assert [one.seq for one in again if one] == [1, 3, 4]
    assert again[3] is None


def test_a_frame_is_settled_once() -> None:
    backlog = Backlog(100 * SIZE, 100 * SIZE)
    one = parcel()
    backlog.add(one)
    backlog.take()
    backlog.recall()  # a client that was given up delivers it after all
    assert backlog.settle(one)
    assert not backlog.settle(one)
    assert (len(backlog), backlog.bytes, backlog.take()) == (0, 0, None)


def test_old_frames_expire_but_not_in_flight() -> None:
    backlog = Backlog(100 * SIZE, SIZE)
    parcels = [parcel(born=float(n)) for n in range(4)]
    for one in parcels:
        backlog.add(one)
    backlog.take()
    assert backlog.expire(born_before=3.0) == parcels[1:3]
    assert len(backlog) == 2
    assert backlog.take_losses() == [Dropped("h", BASE_MS, 20)]
    assert not backlog.settle(parcels[1])


def test_losses_are_counted_by_the_samples_own_hour() -> None:
    backlog = Backlog(1, 1)
    stamps = [HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, -1]
    block = make_block("h", {}, b"a\nb\nc\nd", stamps, [0.0] * 4)
    backlog.add(Parcel("h", 0, encode_frame(Frame(VERSION, 0, [block])), 4, False, 0.0))
    assert sorted(backlog.take_losses(), key=lambda loss: loss.hour_ms) == [
        Dropped("h", -HOUR_MS, 1),
        Dropped("h", 0, 1),
        Dropped("h", HOUR_MS, 2),
    ]


def test_a_control_frame_goes_first_and_what_it_says_survives_its_loss() -> None:
    backlog = Backlog(2 * SIZE, 2 * SIZE)
    waiting = [parcel(), parcel()]
    for one in waiting:
        backlog.add(one)
    losses = [Dropped("h", BASE_MS, 7), Dropped("i", 0, 1)]
    control = Parcel("h", 0, encode_frame(Frame(VERSION, 0, [], Control(losses))), 0, False, 0.0)
    backlog.add_control(control)
    assert backlog.bytes == 2 * SIZE + len(control.value)
    assert backlog.take() is control
    backlog.recall()
    assert backlog.expire(float("inf")) == [control, *waiting]
    assert backlog.take_losses() == [Dropped("h", BASE_MS, 27), losses[1]]


def test_accepted_is_always_delivered_lost_or_waiting() -> None:
    random = Random(3)
    for _ in range(200):
        backlog = Backlog(random.randrange(1, 8) * SIZE, random.randrange(1, 4) * SIZE)
        accepted = delivered = lost = 0
        out: list[Parcel] = []
        for step in range(60):
            action = random.randrange(6)
            if action <= 1:
                accepted += 10
                lost += sum(one.samples for one in backlog.add(parcel(born=float(step))))
            elif action == 2 and (taken := backlog.take()):
                out.append(taken)
            elif action == 3 and out:
                one = out.pop(random.randrange(len(out)))
                delivered += one.samples if backlog.settle(one) else 0
            elif action == 4:
                backlog.recall()
            elif random.random() < 0.1:
                lost += sum(one.samples for one in backlog.expire(float(step - 20)))
            waiting = 10 * len(backlog)
            assert accepted == delivered + lost + waiting
            assert backlog.bytes == SIZE * len(backlog)
        backlog.recall()
        lost += sum(one.samples for one in backlog.expire(float("inf")))
        assert accepted == delivered + lost
        assert sum(loss.samples for loss in backlog.take_losses()) == lost
