"""The stream that the benchmarks send: endless, different on every host, and the same on every run."""

import numpy as np
import pytest

from bench import recorded
from bench.messages import Messages
from bench.recorded import Recording, rounded, shuffled, unshuffled
from bench.storage import OF_ITSELF
from bench.stream import Shape, Stream, choose
from fleetpulse.metric import parse_key
from fleetpulse.partition import partition_of
from fleetpulse.wire import Header, decode_frame


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recorded.load()


def test_the_recording_is_long_enough_and_names_nobody(recording: Recording) -> None:
    assert recording.ticks >= 120
    assert len(recording.keys) == len(set(recording.keys)) >= 400
    assert not any("nodename" in key or "instance" in key for key in recording.keys)
    rising = recording.values[:, recording.rising]
    assert recording.rising.any()
    assert (np.diff(rising, axis=0) >= 0).all()


def test_counters_keep_rising_when_the_recording_begins_again(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=5, series_per_host=200))
    rising = [recording.rising[recording.keys.index(key)] for key in stream.keys]
    values = np.array([stream.values(tick) for tick in range(3 * recording.ticks)])
    assert (np.diff(values, axis=0)[:, :, rising] >= 0).all()
    assert values[-1, :, rising].sum() > values[0, :, rising].sum()


def test_hosts_differ_and_runs_do_not(recording: Recording) -> None:
    shape = Shape(hosts=50, series_per_host=100)
    values = Stream(recording, shape).values(7)
    assert (values == Stream(recording, shape).values(7)).all()
    assert len({row.tobytes() for row in values}) == 50


def test_a_second_of_a_core_is_a_second_on_every_host(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=20, series_per_host=100))
    cpu = [place for place, key in enumerate(stream.keys) if key.startswith('node_cpu_seconds_total{cpu="0"')]
    passed = (stream.values(60) - stream.values(0))[:, cpu].sum(axis=1)
    assert passed == pytest.approx(np.full(20, 600.0), rel=0.1)


def test_values_stay_whole_pages_and_hundredths(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=20, series_per_host=100))
    values = stream.values(3)
    total = stream.keys.index("node_memory_MemTotal_bytes")
    load1 = stream.keys.index("node_load1")
    assert (values[:, total] % 4096 == 0).all()
    assert (values[:, load1] == np.round(values[:, load1], 2)).all()


def test_one_percent_of_the_series_is_replaced_an_hour(recording: Recording) -> None:
    shape = Shape(hosts=100, series_per_host=100)
    stream = Stream(recording, shape)
    changed = [host for tick in range(361) for host in stream.replace(tick)]
    assert stream.replaced == len(changed) == 100
    new = {key for host in range(100) for key in stream.names(host)} - set(stream.keys)
    assert len(new) == 100
    assert all(parse_key(key)[1]["replacement"] for key in new)
    assert not any(key.startswith("node_cpu_seconds_total") for key in new)


def test_noise_does_not_repeat(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=3, series_per_host=10, noise=True))
    assert len(np.unique([stream.values(tick) for tick in range(10)])) == 300


def test_what_rules_read_is_chosen_first(recording: Recording) -> None:
    keys = [recording.keys[place] for place in choose(recording.keys, 40)]
    names = {key.partition("{")[0] for key in keys}
    assert {"node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_load1"} <= names
    assert len(choose(recording.keys, len(recording.keys))) == len(recording.keys)
    with pytest.raises(ValueError, match="cannot have"):
        choose(recording.keys, len(recording.keys) + 1)


def test_messages_count_every_sample_and_keep_to_their_partition(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=200, series_per_host=50))
    messages = Messages(stream, 4, "00000000000000aa")
    sent = [message for tick in range(3) for message in messages.tick(tick, 1000 + tick)]
    assert sum(message.samples for message in sent) == 3 * 200 * 50
    assert [int(dict(message.headers)[Header.SEQ]) for message in sent] == list(range(1, len(sent) + 1))
    counted: dict[str, int] = {}
    for message in sent:
        frame = decode_frame(message.value)
        assert message.samples <= 5000
        for block in frame.blocks:
            assert partition_of(block.host, 4) == message.partition
            counted[block.host] = counted.get(block.host, 0) + len(block.value) // 8
            assert block.sent == counted[block.host]
    assert len(counted) == 200


def test_agents_send_one_host_a_frame(recording: Recording) -> None:
    messages = Messages(Stream(recording, Shape(hosts=7, series_per_host=50)), 4, "00000000000000aa", agents=True)
    assert [message.samples for message in messages.tick(0, 1000)] == [50] * 7


def test_a_second_process_goes_on_where_the_first_ended(recording: Recording) -> None:
    shape = Shape(hosts=20, series_per_host=50, interval_seconds=600.0)
    whole = Messages(Stream(recording, shape), 4, "00000000000000aa")
    all_of_it = [message for tick in range(8) for message in whole.tick(tick, tick)]
    rest = Messages(Stream(recording, shape), 4, "00000000000000aa")
    rest.skip(5)
    part = [message for tick in range(5, 8) for message in rest.tick(tick, tick)]
    assert part == all_of_it[-len(part) :]


def test_shuffled_columns_come_back_bitwise() -> None:
    values = np.array([[1.5, np.nan, -0.0], [np.inf, 2.0**60, 5e-324]])
    again = unshuffled(shuffled(values), 2, 3)
    assert again.tobytes() == values.tobytes()


def test_rounding_gives_the_double_next_to_the_decimal() -> None:
    values = np.array([24.080000000000002, 4097.0, 0.1 + 0.2])
    assert rounded(values, np.array([0.01, 4096.0, 0.0])).tolist() == [24.08, 4096.0, 0.1 + 0.2]


def test_no_host_is_a_shifted_copy_of_another_and_none_repeats_itself(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=4, series_per_host=100))
    free = stream.keys.index("node_memory_MemAvailable_bytes")
    values = np.array([stream.values(tick)[:, free] for tick in range(2 * recording.ticks)])
    triples = [tuple(values[at : at + 3, host]) for host in range(4) for at in range(len(values) - 2)]
    assert len(set(triples)) == len(triples)


def test_series_can_be_left_out(recording: Recording) -> None:
    stream = Stream(recording, Shape(hosts=2, series_per_host=320, leave_out=OF_ITSELF))
    assert len(stream.keys) == 320
    assert not any(key.startswith(OF_ITSELF) for key in stream.keys)
    assert stream.values(5).shape == (2, 320)
