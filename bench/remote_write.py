"""Prometheus remote_write, version 1, for the peers: protobuf by hand, packed with snappy's block format.

WriteRequest { repeated TimeSeries timeseries = 1 } — TimeSeries { repeated Label labels = 1; repeated Sample samples
= 2 } — Label { string name = 1; string value = 2 } — Sample { double value = 1; int64 timestamp = 2 }
(prometheus/prompb/remote.proto and types.proto). One sample a series and request: a request is a template whose
values and times numpy fills in, so that the sender never is what is measured.
"""

from collections.abc import Iterator, Mapping

import cramjam
import numpy as np

from bench.recorded import Float64Array
from bench.stream import Stream, evenly
from fleetpulse.metric import parse_key

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
SAMPLES_A_REQUEST = 10_000
_VALUE_TAG, _TIME_TAG = b"\x09", b"\x10"


def varint(number: int) -> bytes:
    """Protobuf's variable-length integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def labels_of(key: str, common: Mapping[str, str]) -> bytes:
    """The labels of a series as TimeSeries holds them: sorted, the name under ``__name__``."""
    name, own = parse_key(key)
    labels = {"__name__": name, **common, **own}
    return b"".join(
        _field(1, _field(1, label.encode()) + _field(2, labels[label].encode())) for label in sorted(labels)
    )


class Template:
    """A request for fixed series, one sample each; the values and the time are filled in."""

    def __init__(self, series: list[bytes], ts_ms: int) -> None:
        """`series`: labels by `labels_of`; every later time takes as many bytes as ``ts_ms``."""
        self._width = len(varint(ts_ms))
        sample = _field(2, _VALUE_TAG + bytes(8) + _TIME_TAG + bytes(self._width))
        parts = [_field(1, labels + sample) for labels in series]
        ends = np.cumsum([len(part) for part in parts])
        self._body = np.frombuffer(b"".join(parts), dtype=np.uint8).copy()
        self._values_at = (ends - self._width - 9)[:, None] + np.arange(8)
        self._times_at = (ends - self._width)[:, None] + np.arange(self._width)

    def body(self, values: Float64Array, ts_ms: int) -> bytes:
        """The WriteRequest, not yet packed."""
        time = varint(ts_ms)
        if len(time) != self._width:
            raise ValueError(f"{ts_ms} takes {len(time)} bytes, the template has room for {self._width}")
        self._body[self._values_at] = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8)
        self._body[self._times_at] = np.frombuffer(time, dtype=np.uint8)
        return self._body.tobytes()


def packed(body: bytes) -> bytes:
    """Snappy's block format, without frames, as remote_write wants it."""
    return bytes(cramjam.snappy.compress_raw(body))


class Requests:
    """The stream as remote_write requests; ticks are taken in order."""

    def __init__(self, stream: Stream, first_ms: int, samples_a_request: int = SAMPLES_A_REQUEST) -> None:
        self._stream = stream
        self._first_ms = first_ms
        most = max(1, samples_a_request // stream.shape.series_per_host)
        self._parts = list(evenly(len(stream.hosts), most))
        self._templates = [self._template(part) for part in self._parts]

    def tick(self, number: int, ts_ms: int) -> Iterator[tuple[bytes, int]]:
        """(packed request, samples in it) of one tick."""
        changed = set(self._stream.replace(number))
        values = self._stream.values(number)
        for at, part in enumerate(self._parts):
            if not changed.isdisjoint(part):
                self._templates[at] = self._template(part)
            rows = values[part.start : part.stop]
            yield packed(self._templates[at].body(rows.reshape(-1), ts_ms)), rows.size

    def _template(self, hosts: range) -> Template:
        stream = self._stream
        series = [labels_of(key, stream.common(host)) for host in hosts for key in stream.names(host)]
        return Template(series, self._first_ms)
