"""The metric model: names, labels, canonical series keys and the host that owns a series.

A series is a metric name plus labels, as in Prometheus, and labels are kept exactly as sent. Its canonical
key is the text ``name{a="x",b="y"}``: labels sorted by name, no spaces, values escaped as in the Prometheus
text format, a label with an empty value left out (Prometheus: an empty label is an absent one).
"""

import re
import struct
from collections.abc import Mapping

from fleetpulse.errors import MetricError

MAX_LABELS = 64
MAX_NAME_LENGTH = 256
MAX_VALUE_LENGTH = 4096

# Prometheus' stale marker: a NaN with exactly these bits (prometheus/model/value).
STALE_NAN_BITS = 0x7FF0000000000002
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))[0]

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"')
_UNESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}


def check_name(name: str) -> str:
    """Return the metric name, or raise MetricError (reason ``metric_name``)."""
    if len(name) > MAX_NAME_LENGTH or not _METRIC_NAME.fullmatch(name):
        raise MetricError(
            "metric_name",
            f"metric name {name[:80]!r} is not valid: use letters, digits, '_' and ':', "
            f"not starting with a digit, at most {MAX_NAME_LENGTH} characters",
        )
    return name


def check_labels(name: str, labels: Mapping[str, str]) -> None:
    """Raise MetricError (reason ``label_name``, ``label_value`` or ``label_count``) for labels that break the rules."""
    if len(labels) > MAX_LABELS:
        raise MetricError("label_count", f"metric {name!r} has {len(labels)} labels: at most {MAX_LABELS} are allowed")
    for label, value in labels.items():
        if len(label) > MAX_NAME_LENGTH or label == "__name__" or not _LABEL_NAME.fullmatch(label):
            raise MetricError(
                "label_name",
                f"label name {label[:80]!r} of metric {name!r} is not valid: use letters, digits and '_', "
                f"not starting with a digit, at most {MAX_NAME_LENGTH} characters",
            )
        if len(value) > MAX_VALUE_LENGTH:
            raise MetricError(
                "label_value",
                f"label {label!r} of metric {name!r} has {len(value)} characters: at most "
                f"{MAX_VALUE_LENGTH} are allowed",
            )


def escape(value: str) -> str:
    """A label value as it stands between the quotes of a canonical key."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def unescape(value: str) -> str:
    """A label value from the text between quotes; an unknown escape stays as it is."""
    return _UNESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[0]), value) if "\\" in value else value


def canonical_key(name: str, labels: Mapping[str, str]) -> str:
    """The canonical key of a series. Does not check names; `check_name` and `check_labels` do."""
    pairs = ",".join(f'{label}="{escape(labels[label])}"' for label in sorted(labels) if labels[label])
    return f"{name}{{{pairs}}}" if pairs else name


def parse_key(key: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a canonical key; raises MetricError (reason ``series_key``) for other text."""
    name, brace, rest = key.partition("{")
    check_name(name)
    if not brace:
        return name, {}
    labels: dict[str, str] = {}
    position = 0
    while match := _LABEL.match(rest, position):
        value = match[2]
        labels[match[1]] = unescape(value)
        position = match.end()
        if rest[position : position + 1] != ",":
            break
        position += 1
    if rest[position:] != "}" or not labels:
        raise MetricError("series_key", f'series key {key[:200]!r} is not of the form name{{label="value",…}}')
    return name, labels


def with_common(key: str, common: Mapping[str, str]) -> str:
    """The canonical key of a series whose key leaves out the labels in `common`; the series' own labels win."""
    if not common:
        return key
    name, labels = parse_key(key)
    return canonical_key(name, {**common, **labels})


def host_of(labels: Mapping[str, str]) -> str:
    """The host that owns a series: label ``host``, else ``instance`` without its port, else the empty string.

    IPv6 instances keep their address without the brackets: ``[::1]:9100`` is ``::1``.
    """
    host = labels.get("host")
    if host:
        return host
    instance = labels.get("instance", "")
    if instance.startswith("["):
        return instance[1:].partition("]")[0]
    if instance.count(":") == 1:
        return instance.partition(":")[0]
    return instance
