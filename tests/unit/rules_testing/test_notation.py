"""promtool's notation of values and series."""

import math

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.metric import STALE_NAN_BITS
from fleetpulse.rules.notation import labels_of, values_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2 -3", [1, 2, -3]),
        ("1+2x3", [1, 3, 5, 7]),
        ("9-4x2", [9, 5, 1]),
        ("-1-1x1", [-1, -2]),
        ("5x2", [5, 5, 5]),
        ("_ 1 _x3", [None, 1, None, None, None]),
        ("1e3 .5 +Inf -Inf", [1000, 0.5, math.inf, -math.inf]),
        ("0x2", [0, 0, 0]),
        ("1+1x0", [1]),
        ("", []),
    ],
)
def test_values(text: str, values: list[float | None]) -> None:
    assert values_of(text) == values


def test_stale_is_prometheus_marker_and_nan_is_not() -> None:
    import struct

    stale, nan = values_of("stale NaN")
    assert stale is not None
    assert nan is not None
    assert struct.unpack("<Q", struct.pack("<d", stale))[0] == STALE_NAN_BITS
    assert struct.unpack("<Q", struct.pack("<d", nan))[0] != STALE_NAN_BITS


@pytest.mark.parametrize("text", ["1x", "x3", "a", "1+x2", "1 +1x", "__", "stalex3", "{{schema:1}}", "1x99999999"])
def test_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(RuleError, match=r"x99999999|" + "|".join(map("'{}'".format, ["1x", "x3", "a"])) + "|'"):
        values_of(text)


def test_labels() -> None:
    assert labels_of("""up{a="b", c='d',}""") == {"__name__": "up", "a": "b", "c": "d"}
    assert labels_of("{}") == {}
    assert labels_of('{a="b"}') == {"a": "b"}
    assert labels_of('{__name__="up", a=""}') == {"__name__": "up"}
    for text in ("rate(up[5m])", 'up{a!="b"}', "up offset 5m", "up{"):
        with pytest.raises(RuleError):
            labels_of(text)
