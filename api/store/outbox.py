"""The outbox: what a change owes to Kafka is a row in the change's own transaction, and gone once Kafka has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from api.store.schema import OUTBOX
from fleetpulse.topics import Topic


@dataclass(frozen=True, slots=True)
class Row:
    """One message that Kafka does not have yet. `value` None: a tombstone."""

    id: int
    topic: Topic
    key: str
    value: bytes | None
    more: bool


def add(
    connection: Connection, topic: Topic, key: str, value: bytes | None, now_ms: int, *, more: bool = False
) -> None:
    """Owe a message. `more`: another one of the same change follows; whoever reads waits for the last."""
    row = {"topic": topic.name, "key": key, "value": value, "more": more, "created_ms": now_ms}
    connection.execute(insert(OUTBOX).values(row))


def waiting(connection: Connection, limit: int) -> list[Row]:
    """The oldest rows, in the order of the changes."""
    found = connection.execute(select(OUTBOX).order_by(OUTBOX.c.id).limit(limit))
    return [Row(row.id, Topic[row.topic], row.key, row.value, row.more) for row in found]


def count(connection: Connection) -> int:
    """How many rows wait."""
    return connection.execute(select(func.count()).select_from(OUTBOX)).scalar_one()


def done(connection: Connection, ids: Sequence[int]) -> None:
    """Kafka has these."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(ids)))
