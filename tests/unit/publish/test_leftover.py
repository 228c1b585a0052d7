"""Which folders of other processes are looked at, and when no more is begun."""

import threading
from pathlib import Path

import pytest

from fleetpulse.publish.leftover import Leftovers, leftover
from fleetpulse.publish.memo import Ended, Memo, encode_memo, write_memo
from tests.support.eventually import eventually


def folder(parent: Path, name: str, memo: Memo | None = None, segments: int = 0) -> Path:
    made = parent / name
    made.mkdir()
    if memo is not None:
        write_memo(made, encode_memo(memo))
    for number in range(segments):
        (made / f"{number + 1:010}.seg").write_bytes(b"x")
    return made


@pytest.mark.parametrize(
    ("memo", "segments", "found"),
    [
        (Memo(topic="t"), 1, True),
        (None, 1, True),  # from before there was a memo, or it was lost
        (Memo(topic="other"), 1, False),  # waits for its own process
        (Memo(topic="t", clean=True, key="web"), 0, False),
        (Memo(topic="t", producer="a", key="web"), 0, True),  # killed: its id is to be closed
        (Memo(topic="t", ended={"a": Ended("web")}), 0, True),  # whoever was about to close it ended too
        (Memo(), 0, False),
    ],
)
def test_a_folder_is_looked_at_when_it_holds_something_for_this_topic(
    tmp_path: Path, memo: Memo | None, segments: int, found: bool
) -> None:
    own = folder(tmp_path, "p")
    folder(tmp_path, "p-2", memo, segments)
    folder(tmp_path, "p-x", memo, 1)  # of another process
    assert list(leftover(own, "p", "t")) == ["p-2"] * found


class Waits:
    """A publisher that waits until it is told to stop."""

    def flush(self, timeout: float, stop: threading.Event | None = None) -> bool:
        assert stop is not None
        return not stop.wait(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        return False


def test_no_other_folder_is_opened_after_the_stop(tmp_path: Path) -> None:
    own, opened = folder(tmp_path, "p"), list[str]()
    for number in range(2, 6):
        folder(tmp_path, f"p-{number}", segments=1)

    def open_publisher(name: str) -> Waits:
        opened.append(name)
        return Waits()

    leftovers = Leftovers(own, "p", "t", open_publisher)
    eventually(lambda: opened == ["p-2"])
    leftovers.stop(30.0)
    assert opened == ["p-2"]
