"""The lines of blocks as series: what many hosts send is parsed and checked once, and then filled in for each of them.

A fleet's hosts send the same lines and differ in their common labels. A line becomes a template of its canonical key,
with a place for the value of every common label; a block's keys are one filling of all its templates. Lines that do not
fit this scheme go the long way of `read_series`: those that are refused, those with a label of their own that
is also a common one, or that says whose series it is.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

import xxhash

from fleetpulse.errors import MetricError
from fleetpulse.identity import KEY_BITS, id_prefix, key_mask
from fleetpulse.logs import log_fields
from fleetpulse.metric import MAX_LABELS, check_labels, escape, host_of, parse_key
from fleetpulse.wire import Block
from stream_processors.ingest.registration import NewSeries, read_series

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024  # of what is remembered
_LINE_BYTES = 600  # besides its text, which is there three times
_OWNERS = frozenset(("host", "instance"))  # labels that say whose series it is


class _Line(NamedTuple):
    """`template`: the key, with %s for the values of the common labels in the order of their names."""

    template: str
    name: str
    prefix: int  # of the id
    own: dict[str, str]


class Lines:
    """Remembers the lines of any host; for one thread."""

    def __init__(self, key_bits: int = KEY_BITS) -> None:
        self._key_bits = key_bits
        # Names of the common labels that have a value → line → what it is, None: it goes the long way.
        self._known: dict[tuple[str, ...], dict[bytes, _Line | None]] = {}
        self._room = MOST_BYTES

    def read(self, block: Block, lines: Sequence[bytes], seen_ms: int) -> list[NewSeries | MetricError]:
        """The series of these lines of a block; of those that break the rules the error that says how."""
        common = {label: value for label, value in sorted(block.common.items()) if value}
        if not _sound(common, block.host):
            return [self._long(block, line, seen_ms) for line in lines]
        found = self._look_up(tuple(common), lines)
        if None not in found:
            return [*self._fill(block.host, common, found, seen_ms)]  # type: ignore[arg-type]
        filled = iter(self._fill(block.host, common, [line for line in found if line is not None], seen_ms))
        return [
            self._long(block, line, seen_ms) if known is None else next(filled)
            for line, known in zip(lines, found, strict=True)
        ]

    def _look_up(self, names: tuple[str, ...], lines: Sequence[bytes]) -> list[_Line | None]:
        known = self._known.get(names, {})
        try:
            return [known[line] for line in lines]
        except KeyError:
            return [known[line] if line in known else self._learn(names, line) for line in lines]

    def _learn(self, names: tuple[str, ...], line: bytes) -> _Line | None:
        room = self._room - 3 * len(line) - _LINE_BYTES
        if names not in self._known:
            room -= sum(map(len, names)) + _LINE_BYTES
        if room < 0:
            self._known, self._room = {}, MOST_BYTES
            return None
        self._room = room
        parsed = self._known.setdefault(names, {})[line] = _parse(line, names)
        return parsed

    def _fill(self, host: str, common: dict[str, str], lines: Sequence[_Line], seen_ms: int) -> list[NewSeries]:
        if not lines:
            return []
        values = tuple(map(escape, common.values()))
        text = "\n".join([line.template for line in lines]) % (values * len(lines))
        digest, mask = xxhash.xxh3_64_intdigest, key_mask(self._key_bits)
        keys = text.encode().split(b"\n")
        ids = [line.prefix | digest(key) & mask for line, key in zip(lines, keys, strict=True)]
        _, names, _, owns = zip(*lines, strict=True)
        made = map(NewSeries, text.split("\n"), ids, names, repeat(host), repeat(common), repeat(seen_ms), owns)
        return list(made)

    def _long(self, block: Block, line: bytes, seen_ms: int) -> NewSeries | MetricError:
        try:
            return read_series(block, line, seen_ms, self._key_bits)
        except MetricError as error:
            return error
        except Exception as error:  # one line of text may not end the process
            log.exception("unreadable series", extra=log_fields(host=block.host[:200]))
            return MetricError("series_key", f"series {line[:200]!r} cannot be read: {error!r}")


def _sound(common: Mapping[str, str], host: str) -> bool:
    """Whether these labels break no rule and are this host's."""
    try:
        check_labels("", common)
    except MetricError:
        return False
    return host_of(common) == host


def _parse(line: bytes, names: tuple[str, ...]) -> _Line | None:
    """What is common to this line of all hosts whose common labels have these names; None: it goes the long way."""
    try:
        name, written = parse_key(line.decode())
        own = {label: value for label, value in written.items() if value}
        check_labels(name, own)
    except Exception:  # whatever it is, the long way says it
        return None
    if not _OWNERS.union(names).isdisjoint(written) or len(own) + len(names) > MAX_LABELS:
        return None
    values = {label: escape(value).replace("%", "%%") for label, value in own.items()} | dict.fromkeys(names, "%s")
    pairs = ",".join(f'{label}="{values[label]}"' for label in sorted(values))
    return _Line(f"{name}{{{pairs}}}" if pairs else name, name, id_prefix(name), own)
