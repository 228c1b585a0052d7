"""Records longer than a message of Kafka: in parts, of which none stays behind."""

import random

import pytest

from stream_processors.notify import journal
from stream_processors.notify.journal import joined, parts_of


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PART_BYTES", 4)


def test_a_record_is_its_own_message_when_it_is_short() -> None:
    assert parts_of((b"a", b"1234"), 1) == [(b"a", b"1234")]
    assert parts_of((b"a", b""), 1) == [(b"a", b"")]
    assert parts_of((b"a", None), 1) == [(b"a", None)]


def test_a_long_one_is_parts_and_what_is_shorter_later_leaves_none() -> None:
    assert parts_of((b"a", b"123456789"), 1) == [(b"a", b"1234"), (b"a\x001", b"5678"), (b"a\x002", b"9")]
    assert parts_of((b"a", b"12345"), 3) == [(b"a", b"1234"), (b"a\x001", b"5"), (b"a\x002", None)]
    assert parts_of((b"a", None), 2) == [(b"a", None), (b"a\x001", None)]


def test_any_course_of_writes_reads_back() -> None:
    chance = random.Random(4)
    topic: dict[bytes, bytes] = {}
    expected: dict[bytes, bytes] = {}
    for _ in range(2000):
        key = chance.choice((b"group/a", b"group/ab", b"alert/1"))
        value = None if chance.random() < 0.1 else chance.randbytes(chance.choice((0, 3, 4, 5, 60)))
        _, counts = joined(topic)
        for name, part in parts_of((key, value), counts.get(key, 1)):
            topic.pop(name, None)
            if part is not None:
                topic[name] = part
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
        assert joined(topic)[0] == expected
