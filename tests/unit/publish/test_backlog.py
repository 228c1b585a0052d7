"""The frames that wait for Kafka in memory: the budget, the order, and where each is at every moment."""

from random import Random

from fleetpulse.publish.backlog import OLD_LEAST_BYTES, OLD_MOST_BYTES, Backlog
from fleetpulse.publish.parcel import Parcel

SIZE = 50


class Numbers:
    """Frames numbered from 1."""

    def __init__(self) -> None:
        self.last = 0

    def parcel(self, born: float = 0.0, size: int = SIZE, control: bool = False) -> Parcel:
        self.last += 1
        return Parcel("p", self.last, "h", 0, b"x" * size, 10, control=control, born=born)

    def fill(self, backlog: Backlog, count: int) -> list[Parcel]:
        parcels = [self.parcel() for _ in range(count)]
        for one in parcels:
            assert backlog.add(one) == []
        return parcels


def taken(backlog: Backlog, now: float = 1.0) -> list[Parcel]:
    found = []
    while (parcel := backlog.take(now)) is not None:
        found.append(parcel)
    return found


def test_the_oldest_frames_are_dropped_first() -> None:
    backlog, numbers = Backlog(3 * SIZE, 3 * SIZE), Numbers()
    parcels = [numbers.parcel() for _ in range(5)]
    assert [backlog.add(one) for one in parcels] == [[], [], [], [parcels[0]], [parcels[1]]]
    assert backlog.bytes == 3 * SIZE
    assert taken(backlog) == parcels[2:]


def test_what_the_client_had_is_never_dropped_for_something_new() -> None:
    backlog, numbers = Backlog(2 * SIZE, 2 * SIZE), Numbers()
    had = numbers.fill(backlog, 2)
    assert taken(backlog) == had
    third = numbers.parcel()
    assert backlog.add(third) == [third]
    backlog.recall()
    assert backlog.add(numbers.parcel())
    assert taken(backlog) == had


def test_what_is_delivered_or_given_up_says_so_once() -> None:
    backlog, numbers = Backlog(2 * SIZE, 2 * SIZE), Numbers()
    said: list[int] = []
    parcels = [numbers.parcel() for _ in range(4)]
    for one in parcels:
        one.on_settled = lambda seq=one.seq: said.append(seq)
        backlog.add(one)
    assert said == [1, 2]
    first, second = taken(backlog)
    assert backlog.settle(second)
    assert not backlog.settle(second)
    backlog.recall()
    assert said == [1, 2, 4]
    assert taken(backlog) == [first]
    assert backlog.settle(first)
    assert said == [1, 2, 4, 3]


def test_the_window_bounds_what_the_client_has() -> None:
    backlog, numbers = Backlog(100 * SIZE, 2 * SIZE), Numbers()
    parcels = numbers.fill(backlog, 3)
    assert taken(backlog) == parcels[:2]
    assert backlog.settle(parcels[0])
    assert taken(backlog) == parcels[2:]


def test_a_frame_larger_than_the_window_still_goes_alone() -> None:
    backlog, numbers = Backlog(100 * SIZE, 10), Numbers()
    parcels = numbers.fill(backlog, 1)
    assert taken(backlog) == parcels


def test_what_a_client_had_goes_again_first_and_in_order() -> None:
    backlog, numbers = Backlog(100 * SIZE, 3 * SIZE), Numbers()
    parcels = numbers.fill(backlog, 5)
    taken(backlog)
    backlog.settle(parcels[1])
    backlog.recall()
    assert taken(backlog) == [parcels[0], parcels[2], parcels[3]]


def test_a_frame_is_settled_once_even_by_a_client_that_was_given_up() -> None:
    backlog, numbers = Backlog(100 * SIZE, 100 * SIZE), Numbers()
    [one] = numbers.fill(backlog, 1)
    taken(backlog)
    backlog.recall()
    assert backlog.settle(one)
    assert not backlog.settle(one)
    assert (len(backlog), backlog.bytes, backlog.take(1.0)) == (0, 0, None)


def test_a_control_frame_goes_first_whatever_the_budget() -> None:
    backlog, numbers = Backlog(2 * SIZE, 4 * SIZE), Numbers()
    waiting = numbers.fill(backlog, 2)
    control = numbers.parcel(control=True)
    backlog.add_control(control)
    assert taken(backlog) == [control, *waiting]
    backlog.recall()
    assert taken(backlog) == [control, *waiting]


def test_fresh_frames_go_ahead_of_the_old_whose_share_is_bounded() -> None:
    backlog, numbers = Backlog(1 << 30, 1 << 30), Numbers()
    size = OLD_LEAST_BYTES // 2
    old = [numbers.parcel(size=size) for _ in range(4)]
    for one in old:
        backlog.add_old(one)
    fresh = numbers.fill(backlog, 3)
    assert taken(backlog) == [*fresh, *old[:2]]
    assert backlog.bytes == 3 * SIZE
    more = numbers.fill(backlog, 1)
    assert taken(backlog) == more
    backlog.settle(old[0], now=1.0)
    assert taken(backlog) == old[2:]  # a quick delivery lets more of them go at a time


def test_the_share_of_the_old_follows_how_fast_they_are_delivered() -> None:
    backlog, numbers = Backlog(1 << 30, 1 << 30), Numbers()
    shares = []
    for seconds in (0.1, 0.1, 0.1, 2.0, 2.0, 2.0):
        one = numbers.parcel(size=OLD_MOST_BYTES)
        backlog.add_old(one)
        assert backlog.take(0.0) is one
        backlog.settle(one, now=seconds)
        shares.append(backlog.share)
    assert shares == [OLD_MOST_BYTES] * 3 + [OLD_MOST_BYTES // 2, OLD_MOST_BYTES // 4, OLD_MOST_BYTES // 8]


def test_frames_that_wait_too_long_are_due_for_the_disk() -> None:
    backlog, numbers = Backlog(100 * SIZE, SIZE), Numbers()
    parcels = [numbers.parcel(born=float(n)) for n in range(4)]
    for one in parcels:
        backlog.add(one)
    backlog.take(10.0)
    assert backlog.due(born_before=2.0, handed_before=0.0) == parcels[:2]
    for one in parcels[:2]:
        backlog.written(one)
    assert (parcels[0].insured, parcels[0].value != b"") == (True, True)  # in flight: it stays, and is on the disk too
    assert parcels[1].value == b""
    assert backlog.bytes == 3 * SIZE
    assert backlog.due(born_before=2.0, handed_before=0.0) == []
    backlog.recall()
    assert (len(backlog), backlog.bytes) == (2, 2 * SIZE)


def test_in_flight_for_too_long_is_due_though_others_arrive() -> None:
    backlog, numbers = Backlog(100 * SIZE, 100 * SIZE), Numbers()
    first, second = numbers.fill(backlog, 2)
    backlog.take(1.0)
    backlog.take(5.0)
    assert backlog.due(born_before=float("-inf"), handed_before=3.0) == [first]
    backlog.settle(second)
    assert backlog.bytes == SIZE


def test_a_crowded_memory_gives_its_oldest_to_the_disk() -> None:
    backlog, numbers = Backlog(8 * SIZE, 8 * SIZE), Numbers()
    parcels = numbers.fill(backlog, 4)
    never = float("-inf")
    assert backlog.due(never, never) == []
    parcels += numbers.fill(backlog, 1)
    due = backlog.due(never, never)
    assert due == parcels[:3]
    backlog.written(due[0])
    backlog.put_back()  # the disk is full after the first
    assert backlog.bytes == 4 * SIZE
    assert taken(backlog) == parcels[1:]


def test_delivered_while_it_is_written() -> None:
    backlog, numbers = Backlog(100 * SIZE, 100 * SIZE), Numbers()
    first, second = numbers.fill(backlog, 2)
    taken(backlog)
    backlog.recall()
    assert backlog.due(1.0, 0.0) == [first, second]
    assert backlog.settle(first)
    assert backlog.settle(second)
    backlog.written(first)
    backlog.put_back()
    assert (len(backlog), backlog.bytes) == (0, 0)


def test_a_frame_in_flight_whose_record_is_read_goes_again_when_its_client_is_given_up() -> None:
    backlog, numbers = Backlog(100 * SIZE, 100 * SIZE), Numbers()
    [one] = numbers.fill(backlog, 1)
    taken(backlog)
    assert backlog.due(1.0, 0.0) == [one]
    backlog.written(one)
    read = Parcel("p", 1, "h", 0, one.value, 10)
    assert backlog.counts(one, read) is one
    backlog.adopt(one)
    assert backlog.bytes == 0
    backlog.recall()
    assert taken(backlog) == [one]
    backlog.keep(one)  # its record goes
    assert backlog.bytes == SIZE
    assert backlog.settle(one)
    assert (len(backlog), backlog.bytes, backlog.counts(one, read)) == (0, 0, None)


def test_a_frame_on_the_disk_alone_is_counted_once_when_its_old_client_answers_late() -> None:
    backlog, numbers = Backlog(100 * SIZE, 100 * SIZE), Numbers()
    [one] = numbers.fill(backlog, 1)
    taken(backlog)
    backlog.due(1.0, 0.0)
    backlog.written(one)
    backlog.recall()
    read = Parcel("p", 1, "h", 0, b"x" * SIZE, 10)
    assert backlog.counts(one, read) is read
    assert not backlog.settle(one)
    backlog.add_old(read)
    assert taken(backlog) == [read]
    assert backlog.settle(read)


def test_every_frame_is_in_one_place_whatever_happens() -> None:
    random = Random(3)
    for _ in range(300):
        backlog, numbers = Backlog(random.randrange(1, 8) * SIZE, random.randrange(1, 4) * SIZE), Numbers()
        delivered = lost = 0
        accepted: list[Parcel] = []
        out: list[Parcel] = []
        for step in range(60):
            action = random.randrange(8)
            if action <= 1:
                accepted.append(numbers.parcel(born=float(step)))
                lost += len(backlog.add(accepted[-1]))
            elif action == 2 and (one := backlog.take(float(step))):
                out.append(one)
            elif action == 3 and out:
                delivered += backlog.settle(out.pop(random.randrange(len(out))))
            elif action == 4:
                backlog.recall()
            elif action == 5:
                for one in backlog.due(float(step - 10), float(step - 15)):
                    if random.random() < 0.5:
                        backlog.written(one)
                backlog.put_back()
            on_disk_alone = sum(not one.settled and not one.value for one in accepted)
            assert len(accepted) == delivered + lost + len(backlog) + on_disk_alone
            assert backlog.bytes == SIZE * len(backlog)
        left = backlog.empty()
        assert (len(backlog), backlog.bytes) == (0, 0)
        assert all(one.value and not one.settled for one in left)
