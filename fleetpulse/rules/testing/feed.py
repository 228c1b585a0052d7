"""Input series as wire blocks: what every host sends at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fleetpulse.metric import canonical_key, host_of
from fleetpulse.promql.syntax import NAME
from fleetpulse.rules.testing.unit_file import InputSeries
from fleetpulse.wire import Block, join_keys, make_block

Samples = Sequence[tuple[Mapping[str, str], float]]  # labels with ``__name__``, and the value


def blocks_of(at_ms: int, samples: Samples) -> list[Block]:
    """Samples of one time as blocks, one a host; series without a host are those of a host without name."""
    of_host: dict[str, list[tuple[str, float]]] = {}
    for labels, value in samples:
        own = {name: text for name, text in labels.items() if name != NAME and text}
        of_host.setdefault(host_of(own), []).append((canonical_key(labels[NAME], own), value))
    return [
        make_block(host, {}, join_keys(key for key, _ in found), at_ms, [value for _, value in found])
        for host, found in of_host.items()
    ]


def timely(series: Iterable[InputSeries], interval_ms: int) -> Iterator[tuple[int, list[Block]]]:
    """The blocks of each interval from 0 on, in order of time; delays are left out of account."""
    for at_ms, own in _ticks(series, interval_ms):
        yield at_ms, blocks_of(at_ms, [(each.labels, value) for each, value in own])


def appended(series: Iterable[InputSeries], interval_ms: int) -> Iterator[tuple[int, list[Block]]]:
    """Append times with the blocks that are appended then, in order; late ones after those of the time itself."""
    late: dict[int, list[Block]] = {}
    now: dict[int, list[Block]] = {}
    for at_ms, own in _ticks(series, interval_ms):
        delays = sorted({each.delay_ms for each, _ in own})
        for delay_ms in delays:
            samples = [(each.labels, value) for each, value in own if each.delay_ms == delay_ms]
            (late if delay_ms else now).setdefault(at_ms + delay_ms, []).extend(blocks_of(at_ms, samples))
    for append_ms in sorted({*now, *late}):
        yield append_ms, now.get(append_ms, []) + late.get(append_ms, [])


def end_ms(series: Iterable[InputSeries], interval_ms: int) -> int:
    """When the last sample is appended."""
    return max((each.delay_ms + interval_ms * (len(each.values) - 1) for each in series if each.values), default=0)


def _ticks(series: Iterable[InputSeries], interval_ms: int) -> Iterator[tuple[int, list[tuple[InputSeries, float]]]]:
    given = list(series)
    for tick in range(max((len(each.values) for each in given), default=0)):
        samples = []
        for each in given:
            value = each.values[tick] if tick < len(each.values) else None
            if value is not None:
                samples.append((each, value))
        if samples:
            yield tick * interval_ms, samples
