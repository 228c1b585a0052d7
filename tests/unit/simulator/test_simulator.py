"""The simulated fleet: the same seed gives the same stream, counters never fall, incidents do what they say."""

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.frames import columns_of
from fleetpulse.metric import check_labels, check_name, parse_key, with_common
from fleetpulse.partition import partition_of
from fleetpulse.publish.packer import Packer
from fleetpulse.wire import Block
from producers.simulator.fleet import Fleet
from producers.simulator.incident import parse_incident
from producers.simulator.layout import Kind, layout
from producers.simulator.run import frames, ticks
from producers.simulator.walk import PERIOD, running_sum, walk

START = 1_800_000_000


def values(block: Block) -> dict[str, float]:
    keys = [with_common(key, block.common) for key in block.series.decode().split("\n")]
    return dict(zip(keys, columns_of(block).value.tolist(), strict=True))


def block_of(fleet: Fleet, host: int, at_s: int) -> Block:
    block = fleet.block(fleet.hosts[host], at_s)
    assert block is not None
    return block


def test_the_same_seed_is_the_same_stream_and_another_seed_is_not() -> None:
    def stream(seed: int) -> list[Block]:
        fleet = Fleet(5, 40, seed)
        return [block_of(fleet, host, tick) for tick in range(START, START + 60, 10) for host in range(5)]

    assert stream(7) == stream(7)
    assert stream(7) != stream(8)


def test_a_value_depends_on_nothing_but_seed_host_and_time() -> None:
    one, other = Fleet(3, 100, 1), Fleet(3, 100, 1)
    for tick in range(START, START + 500, 10):
        block_of(one, 2, tick)
    assert block_of(one, 2, START + 70) == block_of(other, 2, START + 70)


@pytest.mark.parametrize("count", [1, 2, 16, 50, 100, 137, 500])
def test_a_host_has_exactly_so_many_different_valid_series(count: int) -> None:
    block = block_of(Fleet(1, count, 1), 0, START)
    found = values(block)
    assert len(found) == count
    for key in found:
        name, labels = parse_key(key)
        check_name(name)
        check_labels(name, labels)
        assert labels["simulated"] == "true"
        assert labels["job"] == "node"
        assert labels["instance"] == "sim-0001" == block.host


def test_counters_never_fall_and_gauges_stay_in_their_bounds() -> None:
    fleet = Fleet(2, 150, 3)
    kinds = {one.key: one.kind for one in layout(150)}
    for host in range(2):
        previous: dict[str, float] = {}
        for tick in range(START, START + 2 * PERIOD, 37):
            block = block_of(fleet, host, tick)
            found = dict(zip(block.series.decode().split("\n"), columns_of(block).value.tolist(), strict=True))
            for key, value in found.items():
                assert value >= 0, key
                if kinds[key] in (Kind.CPU, Kind.COUNTER):
                    assert value >= previous.get(key, 0.0), key
            assert found["node_memory_MemAvailable_bytes"] < found["node_memory_MemTotal_bytes"]
            labels = '{device="/dev/vda1",fstype="ext4",mountpoint="/"}'
            assert found[f"node_filesystem_avail_bytes{labels}"] < found[f"node_filesystem_size_bytes{labels}"]
            previous = found


def test_no_disk_is_busy_for_longer_than_the_time_that_passes_and_calm_hosts_are_far_from_it() -> None:
    fleet = Fleet(40, 150, 3)
    assert max(host.size for host in fleet.hosts) == 4
    disks = [one.key for one in layout(150) if one.key.startswith("node_disk_io_time_seconds_total")]
    assert len(disks) == 2
    for host in range(40):
        previous: dict[str, float] | None = None
        for tick in range(START, START + PERIOD + 60, 60):
            block = block_of(fleet, host, tick)
            found = dict(zip(block.series.decode().split("\n"), columns_of(block).value.tolist(), strict=True))
            for key in disks:
                assert previous is None or found[key] - previous[key] < 0.5 * 60
            previous = found


def cpu_rates(fleet: Fleet, host: int, begin: int, end: int) -> dict[str, float]:
    """Seconds a second by mode, over all cores."""
    before, after = (values(block_of(fleet, host, at)) for at in (begin, end))
    rates: dict[str, float] = {}
    for key in before:
        name, labels = parse_key(key)
        if name == "node_cpu_seconds_total":
            mode = labels["mode"]
            rates[mode] = rates.get(mode, 0.0) + (after[key] - before[key]) / (end - begin)
    return rates


def test_the_modes_of_a_core_add_up_to_the_time_that_passes() -> None:
    fleet = Fleet(3, 100, 1)
    cores = sum('mode="idle"' in one.key for one in layout(100))
    for host in range(3):
        rates = cpu_rates(fleet, host, START, START + 600)
        assert sum(rates.values()) == pytest.approx(cores, rel=0.02)
        assert 0.4 < rates["idle"] / cores < 0.99


def test_a_cpu_spike_saturates_the_last_minute_from_the_first_live_tick_and_ends() -> None:
    spike = parse_incident("cpu_spike:2:300", hosts=20, seed=1, start_s=START)
    fleet, calm = Fleet(20, 100, 1, [spike]), Fleet(20, 100, 1)
    assert len(spike.hosts) == 2
    for host in range(20):
        rates = cpu_rates(fleet, host, START - 60, START)
        busy = 1 - (rates["idle"] + rates["iowait"] + rates["steal"]) / sum(rates.values())
        assert (busy > 0.97) == (host in spike.hosts)
        assert cpu_rates(fleet, host, START + 400, START + 600) == pytest.approx(
            cpu_rates(calm, host, START + 400, START + 600), abs=0.01
        )
        assert block_of(fleet, host, spike.begin_s) == block_of(calm, host, spike.begin_s)
    spiked = min(spike.hosts)
    for tick in range(START - 200, START + 500, 5):
        later = values(block_of(fleet, spiked, tick + 5))
        for key, value in values(block_of(fleet, spiked, tick)).items():
            assert "cpu_seconds" not in key or later[key] >= value


def test_silent_hosts_stop_and_the_others_go_on() -> None:
    incident = parse_incident("host_silent:3:30", hosts=10, seed=1, start_s=START)
    fleet = Fleet(10, 10, 1, [incident])

    def speaking(at_s: int) -> set[int]:
        return {number for number, host in enumerate(fleet.hosts) if fleet.block(host, at_s)}

    assert speaking(START + 29) == set(range(10))
    assert speaking(START + 30) == set(range(10)) - incident.hosts
    assert len(incident.hosts) == 3


def test_incidents_by_default_take_a_tenth_of_the_hosts() -> None:
    assert len(parse_incident("cpu_spike", 200, 1, START).hosts) == 20
    assert len(parse_incident("host_silent", 3, 1, START).hosts) == 1


@pytest.mark.parametrize(
    "text", ["", "fire", "cpu_spike:x", "cpu_spike:1:2:3", "cpu_spike:0", "cpu_spike:-1", "host_silent:99"]
)
def test_an_incident_that_cannot_be(text: str) -> None:
    with pytest.raises(SettingsError, match="--incident"):
        parse_incident(text, hosts=10, seed=1, start_s=START)


def test_ticks_are_the_history_and_then_the_duration() -> None:
    assert list(ticks(1000, 10, 25, 30)) == [980, 990, 1000, 1010, 1020]
    endless = ticks(1000, 10, 0, None)
    assert [next(endless) for _ in range(3)] == [1000, 1010, 1020]


def test_a_tick_packs_every_host_into_few_frames_of_one_partition() -> None:
    fleet = Fleet(300, 100, 1)
    packed = list(frames(fleet, START, Packer(4)))
    assert sorted(block.host for blocks in packed for block in blocks) == [
        host.common["instance"] for host in fleet.hosts
    ]
    assert len(packed) <= 10
    for blocks in packed:
        assert len({partition_of(block.host, 4) for block in blocks}) == 1


def test_the_walk_is_bounded_and_its_sum_comes_back() -> None:
    from random import Random

    table = walk(Random(1))
    assert len(table) == PERIOD
    assert max(map(abs, table)) == pytest.approx(1.0)
    sums = running_sum(table)
    assert sums[-1] == pytest.approx(0.0, abs=1e-6)
    assert max(map(abs, sums)) < PERIOD
