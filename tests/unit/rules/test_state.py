"""The records of alert states: what is written comes back, tombstones remove, and nothing unreadable is ignored."""

import math
from dataclasses import replace

import pytest

from fleetpulse.errors import FrameError
from fleetpulse.rules.machine import NEVER, Memory
from fleetpulse.rules.state import (
    MARK_KEY,
    AlertRecord,
    Mark,
    WatchedHost,
    alert_key,
    encode_record,
    host_key,
    read_records,
)

ODD = 'a "b"\n\\ü'
MEMORY = Memory(
    phase=[2, 1],
    since_ms=[1, 2],
    false_since_ms=[NEVER, 5],
    severity=1,
    start_ms=1_800_000_000_000,
    number=7,
    stale=True,
    held=True,
    last_true_ms=3,
    last_eval_ms=4,
    value=0.1 + 0.2,
    no_data=False,
)


def alert(memory: Memory = MEMORY, rule: str = "Hot") -> AlertRecord:
    return AlertRecord(
        rule=rule,
        rule_hash="h",
        host="a",
        fingerprint="f",
        series={"instance": ODD},
        labels={"alertname": rule},
        severities=["warning", "critical"],
        annotations={"summary": ODD},
        phase=memory.phase,
        since_ms=memory.since_ms,
        false_since_ms=memory.false_since_ms,
        severity=memory.severity,
        start_ms=memory.start_ms,
        number=memory.number,
        stale=memory.stale,
        held=memory.held,
        last_true_ms=memory.last_true_ms,
        last_eval_ms=memory.last_eval_ms,
        value=repr(memory.value),
        no_data=memory.no_data,
    )


def test_what_is_written_comes_back() -> None:
    watched = WatchedHost("Silent", ODD, {"instance": "a:9100"})
    saved = read_records(
        [
            (alert_key("Hot", "a", "f", False), encode_record(alert())),
            (host_key("Silent", ODD), encode_record(watched)),
            (MARK_KEY, encode_record(Mark(5, 6))),
        ]
    )
    assert saved.mark == Mark(5, 6)
    assert saved.hosts == [watched]
    assert saved.alerts == [alert()]
    assert saved.alerts[0].memory() == MEMORY


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e-300])
def test_any_value_survives(value: float) -> None:
    record = alert(replace(MEMORY, value=value))
    (back,) = read_records([(b'["alert"]', encode_record(record))]).alerts
    assert repr(back.memory().value) == repr(value)


def test_the_last_record_of_a_key_counts_and_a_tombstone_removes_it() -> None:
    key = alert_key("Hot", "a", "f", False)
    records = [
        (MARK_KEY, encode_record(Mark(1, 1))),
        (key, encode_record(alert())),
        (MARK_KEY, encode_record(Mark(2, 2))),
        (key, None),
        (host_key("r", "never written"), None),
    ]
    saved = read_records(records)
    assert saved.mark == Mark(2, 2)
    assert saved.alerts == []


def test_keys_tell_alerts_apart() -> None:
    keys = {
        alert_key("Hot", "a", "f", False),
        alert_key("Hot", "a", "f", True),
        alert_key("Hot", "b", "f", False),
        alert_key('Hot","a', "", "f", False),
        host_key("Hot", "a"),
        MARK_KEY,
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", "undecodable"),
        (b"mark", b"{}", "undecodable"),
        (b'["strange"]', b"{}", "undecodable"),
        (b"[]", b"{}", "undecodable"),
        (MARK_KEY, b'{"next_offset":"five"}', "undecodable"),
        (MARK_KEY, b"\xff\xfe", "undecodable"),
        (MARK_KEY, b'{"next_offset":5,"append_ms":6,"v":2}', "unknown_version"),
    ],
)
def test_state_that_cannot_be_read_is_not_ignored(key: bytes | None, value: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as error:
        read_records([(key, value)])
    assert error.value.reason == reason


def test_fields_added_later_are_read_over() -> None:
    assert read_records([(MARK_KEY, b'{"next_offset":5,"append_ms":6,"v":1,"new":[1]}')]).mark == Mark(5, 6)
