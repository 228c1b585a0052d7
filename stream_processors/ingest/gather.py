"""From a chunk's blocks to three columns: names are looked up once a block of series, never once a sample."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fleetpulse.errors import MetricError
from fleetpulse.identity import KEY_BITS
from fleetpulse.logs import log_fields
from fleetpulse.windows.registry import BlockKey, Float64Array, Int32Array, Int64Array, Registry
from stream_processors.dead import Letter
from stream_processors.ingest.grids import stack
from stream_processors.ingest.intake import Chunk, TakenBlock
from stream_processors.ingest.limits import HOST_LIMIT, LIMIT
from stream_processors.ingest.partition import Gathered
from stream_processors.ingest.registration import COLLISION, NewSeries, read_series

log = logging.getLogger(__name__)

# Why a series is refused; its dense id is -1 - place in this list.
REASONS = [
    "series_key", "metric_name", "label_name", "label_value", "label_count", "host", COLLISION, HOST_LIMIT, LIMIT,
]  # fmt: skip
LIMITED = [-1 - REASONS.index(reason) for reason in (HOST_LIMIT, LIMIT)]  # counted, but no dead letters


def bind_blocks(
    registry: Registry,
    chunk: Chunk,
    register: Callable[[list[NewSeries]], Mapping[str, str]],
    key_bits: int = KEY_BITS,
) -> list[Letter]:
    """Give every block of the chunk its dense ids, registering new series; a letter for each refused series' block.

    `register` gives the keys that it refuses with the reason. Beyond a limit is no reason for a letter.
    """
    registry.forget_unused()
    unknown: dict[BlockKey, TakenBlock] = {}
    for taken in chunk.blocks:
        if taken.key not in unknown and registry.block(taken.key) is None:
            unknown[taken.key] = taken
    if not unknown:
        return []
    read = {key: _read_lines(taken, key_bits) for key, taken in unknown.items()}
    new = {one.key: one for lines in read.values() for one in lines if isinstance(one, NewSeries)}
    refused = register([one for key, one in new.items() if registry.dense(key) is None])
    letters: list[Letter] = []
    for key, lines in read.items():
        dense: list[int] = []
        for one in lines:
            if isinstance(one, NewSeries) and (reason := refused.get(one.key)) is not None:
                error = MetricError(reason, f"series {one.key[:200]} has the id of another series: {one.id}")
            elif isinstance(one, NewSeries):
                known = registry.dense(one.key)
                dense.append(registry.add(one.key, one.id, one.host, one.seen_ms) if known is None else known)
                continue
            else:
                error = one
            dense.append(-1 - REASONS.index(error.reason))
            if dense[-1] not in LIMITED:
                letters.append(Letter(unknown[key].message, error.reason, str(error)))
        registry.bind(key, dense)
    return _one_a_message(letters)


def gather(registry: Registry, chunk: Chunk) -> Gathered:
    """The samples of a chunk whose blocks are bound; counts the refused ones in the chunk and leaves them out."""
    grids, blocks, refused = stack(registry, chunk.blocks)
    dense, ts, value = _columns(registry, blocks)
    bad = dense < 0
    if bad.any():
        for number, samples in zip(*np.unique(dense[bad], return_counts=True), strict=True):
            refused[int(number)] += int(samples)
        dense, ts, value = dense[~bad], ts[~bad], value[~bad]
    for place, count in refused.items():
        chunk.refused[REASONS[-1 - place]] += count
    return Gathered(dense, ts, value, grids)


def _columns(registry: Registry, blocks: Sequence[TakenBlock]) -> tuple[Int32Array, Int64Array, Float64Array]:
    ids, values = [], []
    times: list[int | Int64Array] = []
    counts: list[int] = []
    for block, key, _, keep in blocks:
        packed = registry.block(key) or b""
        value, ts = block.value, block.ts
        if block.index:
            packed = np.frombuffer(packed, dtype=np.int32)[np.frombuffer(block.index, dtype="<u4")].tobytes()
        if keep is not None and not isinstance(ts, int):
            packed = np.frombuffer(packed, dtype=np.int32)[keep].tobytes()
            value = np.frombuffer(value, dtype="<f8")[keep].tobytes()
            times.append(np.frombuffer(ts, dtype="<i8")[keep])
        else:
            times.append(ts if isinstance(ts, int) else np.frombuffer(ts, dtype="<i8"))
        ids.append(packed)
        values.append(value)
        counts.append(len(value) >> 3)
    dense = np.frombuffer(b"".join(ids), dtype=np.int32)
    return dense, _times(times, counts), np.frombuffer(b"".join(values), dtype="<f8")


def _times(times: list[int | Int64Array], counts: list[int]) -> Int64Array:
    if all(isinstance(ts, int) for ts in times):
        return np.repeat(np.array(times, dtype=np.int64), counts)
    parts = [
        np.full(count, ts, dtype=np.int64) if isinstance(ts, int) else ts
        for ts, count in zip(times, counts, strict=True)
    ]
    return np.concatenate(parts)


def _read_lines(taken: TakenBlock, key_bits: int) -> list[NewSeries | MetricError]:
    lines: list[NewSeries | MetricError] = []
    for line in taken.block.series.split(b"\n") if taken.block.series else ():
        try:
            lines.append(read_series(taken.block, line, taken.message.append_ms, key_bits))
        except MetricError as error:
            lines.append(error if error.reason in REASONS else MetricError("series_key", str(error)))
        except Exception as error:  # one line of text may not end the process
            log.exception("unreadable series", extra=log_fields(host=taken.block.host[:200]))
            lines.append(MetricError("series_key", f"series {line[:200]!r} cannot be read: {error!r}"))
    return lines


def _one_a_message(letters: list[Letter]) -> list[Letter]:
    first: dict[int, Letter] = {}
    for letter in letters:
        first.setdefault(letter.message.offset, letter)
    return list(first.values())
