"""What a publisher remembers over a restart: who it was, and what it has not yet said about losses.

One JSON file, replaced by a rename, so that it is whole whenever the process dies.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from fleetpulse.logs import log_fields
from fleetpulse.publish.losses import Loss

FILE = "memo.json"

log = logging.getLogger(__name__)


def encode_memo(memo: "Memo") -> bytes:
    """The bytes of the file."""
    return msgspec.json.encode(memo)


class Ended(msgspec.Struct):
    """A producer id of a run that was killed: a host of its frames, and how often a later run spoke for it."""

    key: str
    said: int = 0


class SavedControl(msgspec.Struct):
    """A control frame that Kafka has not acknowledged: it is sent again under the same producer id and seq."""

    producer: str
    seq: int
    key: str
    value: bytes


class Memo(msgspec.Struct):
    """`seq` and `sent` are those of the end of a run that stopped cleanly, and mean nothing when it did not."""

    topic: str = ""
    producer: str = ""
    key: str = ""  # a host that this producer sent
    clean: bool = False
    seq: int = 0
    sent: dict[str, int] = {}
    ended: dict[str, Ended] = {}
    losses: list[Loss] = []
    controls: list[SavedControl] = []
    dropped_through: int = 0  # the newest segment whose frames are counted in `losses`
    passed_through: tuple[int, int] = (0, 0)  # the place up to which records that cannot be read are counted there


def write_memo(folder: Path, memo: bytes) -> None:
    """Replace the file by an encoded memo; raises OSError, and then the earlier one is still there."""
    scratch = folder / f"{FILE}.new"
    try:
        scratch.write_bytes(memo)
        os.replace(scratch, folder / FILE)
    except OSError:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def read_memo(folder: Path) -> Memo | None:
    """The memo of the run before; None at the first, and when a power loss left something else. Raises OSError."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memo)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("what the run before remembered is unreadable", extra=log_fields(file=str(path), cause=str(error)))
        return None
