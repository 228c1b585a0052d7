"""Which of several API processes publishes the outbox: a row that its holder renews.

No two clocks are compared: another process takes the row once it has seen it unchanged for `EXPIRES_SECONDS`, or when
its holder gave it back. A holder that was only slow may believe for a moment that the lease is still its own; what it
then writes is refused by Kafka (`publisher.py`).
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from api.store.engine import Database
from api.store.schema import LEASE
from fleetpulse.clock import Clock

RENEW_SECONDS, EXPIRES_SECONDS = 3.0, 10.0
NOBODY = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The row, and since when it has been so, by our monotonic clock."""

    holder: str
    renewals: int
    since: float


class Lease:
    """One process's view of one lease; for one thread."""

    def __init__(self, database: Database, clock: Clock, name: str) -> None:
        self._database, self._clock, self._name = database, clock, name
        self._me = uuid.uuid4().hex
        self._seen: _Seen | None = None

    def hold(self) -> bool:
        """Renew it, or take it when nobody has it any more. Returns whether it is ours."""
        now = self._clock.monotonic()
        if self._mine and self._seen is not None and now - self._seen.since < RENEW_SECONDS:
            return True
        with self._database.read() as connection:
            self._look(connection, now)
        if not self._mine and not self._free(now):
            return False
        with self._database.write() as connection:
            self._look(connection, now)  # again: another process may have been faster
            if self._mine or self._free(now):
                self._write(connection, self._me, now)
        return self._mine

    def is_ours(self, connection: Connection) -> bool:
        """Whether the database says so in this transaction."""
        return connection.scalar(select(LEASE.c.holder).where(LEASE.c.name == self._name)) == self._me

    def release(self) -> None:
        """Give it back, so that another process need not wait until it expires."""
        if self._mine:
            with self._database.write() as connection:
                self._look(connection, self._clock.monotonic())
                if self._mine:
                    self._write(connection, NOBODY, self._clock.monotonic())

    @property
    def _mine(self) -> bool:
        return self._seen is not None and self._seen.holder == self._me

    def _free(self, now: float) -> bool:
        seen = self._seen
        return seen is None or seen.holder == NOBODY or now - seen.since >= EXPIRES_SECONDS

    def _look(self, connection: Connection, now: float) -> None:
        row = connection.execute(select(LEASE).where(LEASE.c.name == self._name)).one_or_none()
        before = self._seen
        if row is None:
            self._seen = None
        elif before is None or (before.holder, before.renewals) != (row.holder, row.renewals):
            self._seen = _Seen(row.holder, row.renewals, now)

    def _write(self, connection: Connection, holder: str, now: float) -> None:
        if self._seen is None:
            connection.execute(insert(LEASE).values(name=self._name, holder=holder, renewals=1))
            self._seen = _Seen(holder, 1, now)
            return
        renewals = self._seen.renewals + 1
        connection.execute(update(LEASE).where(LEASE.c.name == self._name).values(holder=holder, renewals=renewals))
        self._seen = _Seen(holder, renewals, now)
