"""The remote_write requests that the peers get: a golden one byte by byte, and the values that go into a template."""

import struct

import cramjam
import numpy as np
import pytest

from bench.recorded import Recording
from bench.remote_write import Requests, Template, labels_of, packed, varint
from bench.stream import Shape, Stream

TS = 1_795_442_254_894


def test_varint_is_protobufs() -> None:
    assert [varint(n) for n in (0, 1, 127, 128, 300)] == [b"\x00", b"\x01", b"\x7f", b"\x80\x01", b"\xac\x02"]


def test_a_request_is_what_the_protocol_says() -> None:
    series = [labels_of('m{b="2"}', {"a": "1"})]
    assert series[0] == (b"\x0a\x0d\x0a\x08__name__\x12\x01m\x0a\x06\x0a\x01a\x12\x011\x0a\x06\x0a\x01b\x12\x012")
    body = Template(series, TS).body(np.array([1.5]), TS)
    sample = b"\x12\x10\x09" + struct.pack("<d", 1.5) + b"\x10" + varint(TS)
    inner = series[0] + sample
    assert body == b"\x0a" + varint(len(inner)) + inner
    assert bytes(cramjam.snappy.decompress_raw(packed(body))) == body


def test_a_template_takes_new_values_and_times() -> None:
    series = [labels_of(f'm{{n="{number}"}}', {}) for number in range(300)]
    template = Template(series, TS)
    values = np.arange(300) / 7
    again = template.body(values, TS + 10_000)
    fresh = Template(series, TS + 10_000).body(values, TS + 10_000)
    assert again == fresh
    assert template.body(values + 1, TS) != again


def test_a_time_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        Template([labels_of("m", {})], TS).body(np.array([1.0]), 5)


def test_replaced_series_get_new_names() -> None:
    recording = Recording(["a", "b", "c"], np.zeros(3, dtype=np.bool_), np.ones((20, 3)), 10)
    stream = Stream(recording, Shape(2, 3, interval_seconds=3600.0, replaced_an_hour=0.5))
    requests = Requests(stream, TS)
    first = [body for body, _ in requests.tick(0, TS)]
    later = [body for body, _ in requests.tick(1, TS)]
    assert all(b"replacement" not in bytes(cramjam.snappy.decompress_raw(body)) for body in first)
    assert sum(bytes(cramjam.snappy.decompress_raw(body)).count(b"replacement") for body in later) == 3
