"""Rule groups in the database: every version is kept, the newest is in force, and each change goes to the outbox."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from api.store import outbox
from api.store.schema import RULE_GROUP, RULE_VERSION, STORE
from fleetpulse.rules.published import AUTHORITY_KEY, Authority, PublishedGroup, encode_authority, encode_group
from fleetpulse.topics import Topic

FILE, API = "file", "api"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a group. `text` is a rule file with this group alone; of a deletion, what was deleted."""

    name: str
    version: int
    action: str
    owner: str
    file: str
    text: str
    author: str
    changed_ms: int

    def record(self) -> bytes:
        """As `fleetpulse.rules` has it."""
        return encode_group(
            PublishedGroup(
                name=self.name,
                owner=self.owner,
                file=self.file,
                version=self.version,
                text=self.text,
                author=self.author,
                changed_ms=self.changed_ms,
            )
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a group; `text` None: it is deleted."""

    name: str
    owner: str
    file: str
    text: str | None


def in_force(connection: Connection) -> list[Version]:
    """The groups that are not deleted, by name."""
    return [_version(row) for row in connection.execute(_newest().order_by(RULE_GROUP.c.name))]


def group(connection: Connection, name: str) -> Version | None:
    """A group that is not deleted."""
    row = connection.execute(_newest().where(RULE_GROUP.c.name == name)).one_or_none()
    return None if row is None else _version(row)


def versions(connection: Connection, name: str) -> list[Version]:
    """All that a group ever was, the newest first."""
    found = select(RULE_VERSION).where(RULE_VERSION.c.name == name).order_by(RULE_VERSION.c.version.desc())
    return [_version(row) for row in connection.execute(found)]


def known_names(connection: Connection) -> set[str]:
    """The groups that were ever here, deleted ones included."""
    return set(connection.scalars(select(RULE_VERSION.c.name).distinct()))


def save(connection: Connection, change: Change, author: str, now_ms: int, *, more: bool = False) -> Version:
    """Write a change and owe it to Kafka; `more`: another change of the same transaction follows."""
    before = group(connection, change.name)
    newest = select(func.max(RULE_VERSION.c.version)).where(RULE_VERSION.c.name == change.name)
    number = (connection.scalar(newest) or 0) + 1
    action = "delete" if change.text is None else "update" if before else "create"
    text = change.text if change.text is not None else before.text if before else ""
    version = Version(change.name, number, action, change.owner, change.file, text, author, now_ms)
    insert_version(connection, version, current=None if before is None else before.version)
    record = None if change.text is None else version.record()
    outbox.add(connection, Topic.RULES, change.name, record, now_ms, more=more)
    return version


def insert_version(connection: Connection, version: Version, current: int | None) -> None:
    """Write a version, and make it the newest; `current` is the one in force until now."""
    values = {column: getattr(version, column) for column in Version.__slots__}
    connection.execute(insert(RULE_VERSION).values(values))
    mine = RULE_GROUP.c.name == version.name
    if version.action == "delete":
        connection.execute(delete(RULE_GROUP).where(mine))
    elif current is None:
        connection.execute(insert(RULE_GROUP).values(name=version.name, version=version.version))
    else:
        connection.execute(update(RULE_GROUP).where(mine).values(version=version.version))


def store_id(connection: Connection, now_ms: int) -> str:
    """The id of this database; given to it when it is first asked."""
    found = connection.scalar(select(STORE.c.id))
    if found is None:
        found = uuid.uuid4().hex
        connection.execute(insert(STORE).values(id=found, created_ms=now_ms))
    return str(found)


def owe_authority(connection: Connection, now_ms: int) -> None:
    """Owe Kafka the record that says that this database decides."""
    value = encode_authority(Authority(store_id(connection, now_ms)))
    outbox.add(connection, Topic.RULES, AUTHORITY_KEY, value, now_ms)


def records(connection: Connection, now_ms: int) -> Mapping[str, bytes]:
    """Everything that the topic should have, by key."""
    found = {version.name: version.record() for version in in_force(connection)}
    return found | {AUTHORITY_KEY: encode_authority(Authority(store_id(connection, now_ms)))}


def _newest() -> Select[Any]:
    same = (RULE_VERSION.c.name == RULE_GROUP.c.name) & (RULE_VERSION.c.version == RULE_GROUP.c.version)
    return select(RULE_VERSION).join(RULE_GROUP, same)


def _version(row: Row[Any]) -> Version:
    return Version(**{column: getattr(row, column) for column in Version.__slots__})
