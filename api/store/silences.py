"""Silences, acknowledgements and maintenance windows in the database; each change goes to the outbox."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from api.store import outbox
from api.store.schema import SILENCE, SILENCE_CHANGE
from fleetpulse.errors import FrameError
from fleetpulse.silences import Silence, decode_silence, encode_silence, milliseconds
from fleetpulse.topics import DAY_MS, Topic

KEEP_MS = 5 * DAY_MS  # how long those that are over are still listed, as in Alertmanager


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the past, and the record after it."""

    silence: Silence
    action: str
    author: str
    changed_ms: int


def listed(connection: Connection) -> list[Silence]:
    """All, the ones that end last first."""
    found = connection.scalars(select(SILENCE.c.record).order_by(SILENCE.c.ends_ms.desc(), SILENCE.c.id))
    return [decode_silence(record) for record in found]


def find(connection: Connection, identity: str) -> Silence | None:
    """One of them."""
    record = connection.scalar(select(SILENCE.c.record).where(SILENCE.c.id == identity))
    return None if record is None else decode_silence(record)


def changes(connection: Connection, identity: str) -> list[Change]:
    """What was ever done with it, the newest first; also with one that is no longer listed."""
    found = select(SILENCE_CHANGE).where(SILENCE_CHANGE.c.silence == identity).order_by(SILENCE_CHANGE.c.id.desc())
    return [
        Change(decode_silence(row.record), row.action, row.author, row.changed_ms) for row in connection.execute(found)
    ]


def save(connection: Connection, silence: Silence, action: str, author: str, now_ms: int) -> None:
    """Write a change, owe it to Kafka, and let go of what is long over."""
    record = encode_silence(silence)
    values = {"kind": silence.kind, "ends_ms": milliseconds(silence.ends_at), "record": record}
    changed = connection.execute(update(SILENCE).where(SILENCE.c.id == silence.id).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(SILENCE).values(id=silence.id, **values))
    row = {"silence": silence.id, "action": action, "author": author, "changed_ms": now_ms, "record": record}
    connection.execute(insert(SILENCE_CHANGE).values(row))
    outbox.add(connection, Topic.SILENCES, silence.id, record, now_ms)
    _remove_old(connection, now_ms)


def adopt(connection: Connection, held: Mapping[str, bytes], now_ms: int) -> int:
    """Take over what is not over and never was here, from a database that was lost; returns how many."""
    taken = 0
    for identity, record in held.items():
        try:
            silence = decode_silence(record)
        except FrameError:
            continue  # of another version: its authors write it anew
        if silence.id == identity and silence.state(now_ms) != "expired" and not changes(connection, identity):
            save(connection, silence, "created", silence.created_by, now_ms)
            taken += 1
    return taken


def records(connection: Connection) -> Mapping[str, bytes]:
    """Everything that the topic should have, by key."""
    return {row.id: row.record for row in connection.execute(select(SILENCE.c.id, SILENCE.c.record))}


def _remove_old(connection: Connection, now_ms: int) -> None:
    old = list(connection.scalars(select(SILENCE.c.id).where(SILENCE.c.ends_ms < now_ms - KEEP_MS)))
    for identity in old:
        outbox.add(connection, Topic.SILENCES, identity, None, now_ms)
    if old:
        connection.execute(delete(SILENCE).where(SILENCE.c.id.in_(old)))
