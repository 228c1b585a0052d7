"""One publisher at a time: a lease that is renewed, taken over when its holder is silent, and given back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.store.engine import Database
from api.store.lease import EXPIRES_SECONDS, RENEW_SECONDS, Lease
from fleetpulse.clock import ManualClock
from tests.support.store_database import fresh_store_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(fresh_store_url(tmp_path))
    yield database
    database.close()


def ours(lease: Lease, database: Database) -> bool:
    with database.read() as connection:
        return lease.is_ours(connection)


def test_one_of_two_holds_it_for_as_long_as_it_renews(database: Database) -> None:
    clock = ManualClock(0)
    one, two = Lease(database, clock, "outbox"), Lease(database, clock, "outbox")
    assert [one.hold(), two.hold()] == [True, False]
    for _ in range(10):
        clock.advance(int(RENEW_SECONDS * 1000))
        assert [one.hold(), two.hold()] == [True, False]
    assert (ours(one, database), ours(two, database)) == (True, False)


def test_a_silent_holder_is_followed_by_the_other_and_sees_that_itself(database: Database) -> None:
    clock = ManualClock(0)
    one, two = Lease(database, clock, "outbox"), Lease(database, clock, "outbox")
    assert [one.hold(), two.hold()] == [True, False]
    clock.advance(int(EXPIRES_SECONDS * 1000) - 100)
    assert not two.hold()
    clock.advance(200)
    assert two.hold()
    assert not ours(one, database)
    assert not one.hold()
    one.release()  # what is not ours is not given away
    assert ours(two, database)


def test_a_lease_that_was_given_back_is_free_at_once(database: Database) -> None:
    clock = ManualClock(0)
    one, two = Lease(database, clock, "outbox"), Lease(database, clock, "outbox")
    assert one.hold()
    one.release()
    assert [two.hold(), one.hold()] == [True, False]


def test_clocks_of_two_machines_need_not_agree(database: Database) -> None:
    one, two = Lease(database, ManualClock(0), "outbox"), Lease(database, ManualClock(10**12), "outbox")
    assert [one.hold(), two.hold()] == [True, False]
