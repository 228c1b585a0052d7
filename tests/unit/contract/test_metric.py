"""Names, labels, canonical keys and the host that owns a series."""

import math
import struct
from itertools import product

import pytest

from fleetpulse import metric
from fleetpulse.errors import MetricError
from fleetpulse.metric import canonical_key, check_labels, check_name, host_of, parse_key, with_common


@pytest.mark.parametrize("name", ["up", "_x", ":a:b", "node_cpu_seconds_total", "A9", "x" * 256])
def test_good_metric_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "ä", "a{", "x" * 257, "up\n"])
def test_bad_metric_names_are_named_in_the_error(name: str) -> None:
    with pytest.raises(MetricError) as refused:
        check_name(name)
    assert refused.value.reason == "metric_name"
    assert repr(name[:80]) in str(refused.value)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"a-b": "1"}, "label_name"),
        ({"": "1"}, "label_name"),
        ({"__name__": "up"}, "label_name"),
        ({"a:b": "1"}, "label_name"),
        ({"a" * 257: "1"}, "label_name"),
        ({"a": "x" * 4097}, "label_value"),
        ({f"l{i}": "1" for i in range(65)}, "label_count"),
    ],
)
def test_bad_labels(labels: dict[str, str], reason: str) -> None:
    with pytest.raises(MetricError, match="metric 'up'") as refused:
        check_labels("up", labels)
    assert refused.value.reason == reason


def test_the_most_labels_and_the_longest_value_are_allowed() -> None:
    check_labels("up", {f"l{i}": "x" * 4096 for i in range(64)})


def test_a_key_is_sorted_escaped_and_without_empty_labels() -> None:
    assert canonical_key("up", {}) == "up"
    assert canonical_key("up", {"gone": ""}) == "up"
    assert canonical_key("m", {"b": "2", "a": '1"\\\n', "gone": ""}) == 'm{a="1\\"\\\\\\n",b="2"}'


def test_every_value_comes_back_from_its_key() -> None:
    for parts in product(['"', "\\", "\n", "n", ",", "}", "="], repeat=4):
        labels = {"a": "".join(parts), "b": "x" + "".join(parts)}
        assert parse_key(canonical_key("m", labels)) == ("m", labels)


@pytest.mark.parametrize(
    "key", ["m{", "m{}", 'm{a="1"', 'm{a="1",}x', "m{a=1}", 'm{a="1"b="2"}', 'm{a="1"}}', '{a="1"}', "m }", 'm{a="\n"}']
)
def test_text_that_is_no_key(key: str) -> None:
    with pytest.raises(MetricError):
        parse_key(key)


def test_common_labels_are_added_and_the_series_own_win() -> None:
    assert with_common("up", {}) == "up"
    assert with_common("up", {"job": "node"}) == 'up{job="node"}'
    assert with_common('up{job="own"}', {"job": "node", "a": "1"}) == 'up{a="1",job="own"}'


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({"host": "h", "instance": "i:1"}, "h"),
        ({"instance": "web-1:9100"}, "web-1"),
        ({"instance": "web-1"}, "web-1"),
        ({"instance": "[::1]:9100"}, "::1"),
        ({"instance": "fe80::1"}, "fe80::1"),
        ({"host": "", "instance": "i"}, "i"),
        ({"job": "x"}, ""),
    ],
)
def test_the_host_is_a_function_of_the_labels(labels: dict[str, str], host: str) -> None:
    assert host_of(labels) == host


def test_the_stale_marker_has_prometheus_bits() -> None:
    assert math.isnan(metric.STALE_NAN)
    assert struct.pack(">d", metric.STALE_NAN).hex() == "7ff0000000000002"
