"""What is too large for a message is cut, or left out, and nothing else is touched."""

import logging

import msgspec
import pytest

from fleetpulse.events import AlertData, AlertEvent, Evidence, RuleRef, decode_event, encode_event, make_event
from fleetpulse.rules.state import AlertRecord, alert_key, encode_record, read_records
from stream_processors.rules.fit import LARGEST_BYTES, fit

HALF = "x" * (LARGEST_BYTES // 2 + 1)


def event(number: int, label: str = "", annotation: str = "", evidence: str = "") -> AlertEvent:
    data = AlertData(
        status="firing",
        labels={"alertname": "Hot", "big": label},
        annotations={"summary": annotation},
        starts_at="2026-01-01T00:00:00Z",
        fingerprint="f",
        episode="e",
        transition=number,
        reason="threshold",
        host="h",
        rule=RuleRef("Hot", "1"),
        value="1",
        evidence=[Evidence(evidence, "2026-01-01T00:00:00Z", "1")],
    )
    return make_event(data, "2026-01-01T00:00:00Z")


def test_what_fits_is_left_as_it_is() -> None:
    events = [event(1), event(2, label=HALF)]
    records = [(b"k", b"v"), (b"gone", None)]
    fitted = fit(events, records)
    assert fitted.events == [(b"f", encode_event(one)) for one in events]
    assert fitted.records == records
    assert fitted.oversized == 0


def test_an_event_loses_what_only_explains_it(caplog: pytest.LogCaptureFixture) -> None:
    fitted = fit([event(1), event(2, label=HALF, annotation=HALF), event(3, label=HALF, evidence=HALF), event(4)], [])
    kept = [decode_event(value) for _, value in fitted.events]
    assert [one.data.transition for one in kept] == [1, 2, 3, 4]
    assert [bool(one.data.evidence) for one in kept] == [True, False, False, True]
    assert [bool(one.data.annotations) for one in kept] == [True, False, False, True]
    assert {one.data.labels["big"] for one in kept[1:3]} == {HALF}
    assert fitted.oversized == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_what_fits_in_no_way_is_left_out() -> None:
    fitted = fit([event(1, label=HALF + HALF), event(2)], [(b"a", b"1"), (b"k", b"x" * LARGEST_BYTES), (b"b", b"2")])
    assert [decode_event(value).data.transition for _, value in fitted.events] == [2]
    assert fitted.records == [(b"a", b"1"), (b"k", None), (b"b", b"2")]
    assert fitted.oversized == 2


def test_a_state_loses_its_annotations_and_is_kept() -> None:
    record = AlertRecord(
        rule="Hot",
        rule_hash="1",
        host="h",
        fingerprint="f",
        series={"big": HALF},
        labels={"alertname": "Hot"},
        severities=["warning"],
        annotations={"summary": HALF},
        phase=[2],
        since_ms=[1],
        false_since_ms=[0],
        severity=0,
        start_ms=1,
        number=1,
        stale=False,
        held=False,
        last_true_ms=1,
        last_eval_ms=1,
        value="90",
        no_data=False,
    )
    key = alert_key("Hot", "h", "f", False)
    (kept,) = read_records(fit([], [(key, encode_record(record))]).records).alerts
    assert kept == msgspec.structs.replace(record, annotations={})


def test_a_key_that_does_not_fit_has_no_record() -> None:
    assert fit([], [(b"x" * (LARGEST_BYTES + 1), None)]).records == []
