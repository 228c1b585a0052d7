"""The records of `fleetpulse.rules`: one a rule group, as JSON; the key is the group's name.

The topic is compacted and has one partition. No value (a tombstone) removes a group. The empty key, which no group
has, carries the `Authority`: which database the topic follows. Until it is there, the rule files of the settings
apply. A new worker has read all when its position is the end offset that it was told at its start.

The header ``fp-more`` says that another record of the same change follows: what is read takes effect with the last.
"""

from collections.abc import Iterable

import msgspec

from fleetpulse.errors import FrameError

VERSION = 1
AUTHORITY_KEY = ""
MORE = ("fp-more", b"1")


class PublishedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a rule group. `text` is a rule file with this group alone."""

    name: str
    owner: str  # file: changed by `fleetpulse rules apply` only; api
    file: str
    version: int
    text: str
    author: str
    changed_ms: int
    v: int = VERSION

    @property
    def place(self) -> str:
        """What stands for the file in the places of rules."""
        return self.file or f"group {self.name!r}"


class Authority(msgspec.Struct, frozen=True):
    """The database that decides, by an id that it was born with."""

    store: str
    v: int = VERSION


_encoder = msgspec.json.Encoder()
_group_decoder = msgspec.json.Decoder(PublishedGroup)
_authority_decoder = msgspec.json.Decoder(Authority)


def encode_group(group: PublishedGroup) -> bytes:
    """The message value."""
    return _encoder.encode(group)


def encode_authority(authority: Authority) -> bytes:
    """The message value."""
    return _encoder.encode(authority)


def decode(key: str, value: bytes) -> PublishedGroup | Authority:
    """The record of a message. Raises FrameError, reason ``undecodable`` or ``unknown_version``."""
    decoder: msgspec.json.Decoder[PublishedGroup] | msgspec.json.Decoder[Authority]
    decoder = _authority_decoder if key == AUTHORITY_KEY else _group_decoder
    try:
        record = decoder.decode(value)
    except msgspec.DecodeError as error:
        raise FrameError("undecodable", f"the record of rule group {key!r} cannot be read: {error}") from error
    if record.v != VERSION:
        raise FrameError(
            "unknown_version", f"rule group {key!r} is of version {record.v}: this build reads {VERSION}; upgrade"
        )
    if isinstance(record, PublishedGroup) and record.name != key:
        raise FrameError("undecodable", f"the record with key {key!r} is of group {record.name!r}")
    return record


def has_more(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether another record of the same change follows."""
    return any(name == MORE[0] for name, _ in headers)
