"""Times and durations as parameters."""

import pytest

from api.errors import ParameterError
from api.times import parse_duration, parse_time, show_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("1767322800", 1_767_322_800_000),
        ("1767322800.5", 1_767_322_800_500),
        ("2026-01-02T03:00:00Z", 1_767_322_800_000),
        ("2026-01-02T03:00:00.123Z", 1_767_322_800_123),
        ("2026-01-02T05:00:00+02:00", 1_767_322_800_000),
        ("2026-01-02T05:00:00 02:00", 1_767_322_800_000),
        ("2026-01-02T03:00:00.123 00:00", 1_767_322_800_123),
        ("2026-01-02T03:00:00", 1_767_322_800_000),
    ],
)
def test_times(text: str, milliseconds: int) -> None:
    assert parse_time("start", text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "-1",
        "1e9",
        "nan",
        "inf",
        "9" * 15,
        "9" * 400,
        "1969-12-31T23:59:59Z",
        "2101-01-01",
        "٣",
        " 1",
        "2026-01-02 03:00 02:00 ",
    ],
)
def test_what_is_no_time_names_the_parameter(text: str) -> None:
    with pytest.raises(ParameterError, match=r"^start: "):
        parse_time("start", text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("15", 15_000), ("0.5", 500), ("15s", 15_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration("step", text) == milliseconds


@pytest.mark.parametrize("text", ["", "m", "5 m", "-5m", "5m!", "1.5m", "5M", "5m" * 60])
def test_what_is_no_duration_names_the_parameter(text: str) -> None:
    with pytest.raises(ParameterError, match=r"^step: "):
        parse_duration("step", text)


@pytest.mark.parametrize("text", ["1d", "90m", "15s", "250ms"])
def test_durations_are_shown_as_they_are_written(text: str) -> None:
    assert show_duration(parse_duration("step", text)) == text
