"""What `fleetpulse alerts tail` prints of an event, and when in colour."""

import io
import re
from dataclasses import dataclass

import msgspec
import pytest

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME, AlertData, AlertEvent, RuleRef, encode_event, make_event
from fleetpulse.notify.matchers import parse_matchers
from stream_processors.alerts.command import main, show, wants_colour
from stream_processors.alerts.show import line
from stream_processors.alerts.tail import Message

T0 = 1_800_000_000_000
FIRED = AlertData(
    status="firing",
    labels={"alertname": "HostHighCpu", "instance": "web-1:9100", "severity": "critical"},
    annotations={"summary": "web-1 is busy"},
    starts_at=to_rfc3339(T0 - 330_000),
    ends_at=ZERO_TIME,
    fingerprint="f" * 16,
    episode="e" * 16,
    transition=2,
    previous_severity="warning",
    reason="severity_changed",
    host="web-1",
    rule=RuleRef("HostHighCpu", "0" * 16),
    value="0.98",
    threshold="> 0.95",
)


def event(**changes: object) -> AlertEvent:
    return make_event(msgspec.structs.replace(FIRED, **changes), to_rfc3339(T0))


def shown(**changes: object) -> str:
    return re.sub(" {2,}", " | ", line(event(**changes), colour=False))


def test_a_change_of_severity() -> None:
    assert shown() == (
        "2027-01-15 08:00:00 | CRITICAL | HostHighCpu | web-1 | warning → critical | 0.98 (limit > 0.95) | "
        "— web-1 is busy"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transition": 1, "previous_severity": None, "reason": "threshold"}, "began | 0.98"),
        (
            {"status": "resolved", "ends_at": to_rfc3339(T0), "reason": "recovered"},
            "resolved after 5m 30s: recovered |",
        ),
        ({"reason": "no_data", "previous_severity": "critical", "stale": True}, "no data any more, still open [stale]"),
        ({"reason": "data_returned", "previous_severity": "critical", "late": True}, "data again [late]"),
        ({"reason": "a_new_reason", "previous_severity": "critical"}, "a new reason | 0.98"),
        ({"transition": 1, "previous_severity": None, "reason": "no_data", "value": "NaN"}, "still open | — web-1"),
    ],
)
def test_what_changed(changes: dict[str, object], said: str) -> None:
    assert said in shown(**changes)
    assert "NaN" not in shown(**changes)


def test_colour_adds_nothing_but_colour() -> None:
    painted = line(event(), colour=True)
    assert painted != line(event(), colour=False) == re.sub(r"\x1b\[[\d;]*m", "", painted)


def test_a_label_cannot_speak_to_the_terminal() -> None:
    hostile = {"alertname": "x\x1b[2J", "severity": "\x1b[31m"}
    assert "\x1b" not in line(event(labels=hostile, host="\x9b", annotations={"summary": "a\nb"}), colour=False)
    assert "\n" not in line(event(annotations={"summary": "a\nb"}), colour=False)


@dataclass
class Out(io.StringIO):
    terminal: bool

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("choice", "terminal", "environment", "wanted"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_when_there_is_colour(choice: str, terminal: bool, environment: dict[str, str], wanted: bool) -> None:
    assert wants_colour(choice, Out(terminal), environment) is wanted


def test_matchers_and_what_is_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    messages = [
        Message("t/0/1", T0, encode_event(event())),
        Message("t/0/2", T0, b"{}"),
        Message("t/0/3", T0, encode_event(event(host="db-1"))),
    ]
    show(messages, parse_matchers('host=~"web-.*",severity=critical'), as_json=True, colour=False)
    output = capsys.readouterr()
    assert output.out.encode() == encode_event(event()) + b"\n"
    assert output.err.startswith("t/0/2: not an alert event")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tail", "--since", "soon"], "'soon' is no age: write 90m, 24h or 7d"),
        (["tail", "severity"], "'severity' is not a matcher"),
        (["tail", "host=~("], "("),
        ([], "command"),
    ],
)
def test_bad_arguments_name_themselves(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
