"""The shipped pack on a host whose figures are known."""

import pytest

from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.wire import Block, join_keys, make_block

T = 1_700_000_000_000
GIB = 2.0**30


def host_block(tick: int, host: str = "web-1", busy: float = 0.25) -> Block:
    """A host of two cores with exact rates, `busy` of its CPU time in use, 10 s a tick."""
    seconds = 10.0 * tick
    samples: dict[str, float] = {"up": 1.0, "node_load1": 3.0, "node_load5": 3.2, "node_load15": 1.0}
    for cpu in range(2):
        idle = max(0.0, 0.9 - busy)
        shares = {"user": busy, "idle": idle, "iowait": 1 - busy - idle, "system": 0.0}
        for mode, share in shares.items():
            samples[f'node_cpu_seconds_total{{cpu="{cpu}",mode="{mode}"}}'] = 1000 + share * seconds
    samples["node_memory_MemTotal_bytes"] = 8 * GIB
    samples["node_memory_MemAvailable_bytes"] = 2 * GIB
    for mountpoint, fstype, used in (("/", "ext4", 0.5), ("/data", "xfs", 0.9), ("/tmp", "tmpfs", 1.0)):
        labels = f'{{device="/dev/x",fstype="{fstype}",mountpoint="{mountpoint}"}}'
        samples[f"node_filesystem_size_bytes{labels}"] = 100 * GIB
        samples[f"node_filesystem_avail_bytes{labels}"] = 100 * GIB * (1 - used)
        samples[f"node_filesystem_files{labels}"] = 1000
        samples[f"node_filesystem_files_free{labels}"] = 1000 * (1 - used)
    for device, share in (("sda", 0.3), ("sdb", 0.6)):
        samples[f'node_disk_io_time_seconds_total{{device="{device}"}}'] = 50 + share * seconds
    for device, rate in (("lo", 1e9), ("eth0", 1000.0), ("eth1", 500.0)):
        for way, factor in (("receive", 1), ("transmit", 2)):
            samples[f'node_network_{way}_bytes_total{{device="{device}"}}'] = 1e6 + factor * rate * seconds
            samples[f'node_network_{way}_errs_total{{device="{device}"}}'] = 2.0 * seconds
    common = {"instance": host, "job": "node", "simulated": "true"}
    return make_block(host, common, join_keys(samples), T + round(1000 * seconds), samples.values())


def values(ticks: int, busy: float = 0.25) -> dict[str, dict[str, float]]:
    """Rule → (mountpoint or device) → value at the last tick."""
    evaluator = StreamEvaluator(load(shipped_packs()), complete_from_ms=NEVER)
    found: dict[str, dict[str, float]] = {}
    for tick in range(ticks):
        for evaluation in evaluator.observe([host_block(tick, busy=busy)]):
            assert not evaluation.held.any()
            labels = [evaluator.labels_of(int(key)) for key in evaluation.key]
            assert all(each["simulated"] == "true" and each["instance"] == "web-1" for each in labels)
            names = [each.get("mountpoint", each.get("device", "")) for each in labels]
            found[evaluation.rule.name] = dict(zip(names, evaluation.value.tolist(), strict=True))
    return found


@pytest.mark.parametrize("ticks", [2, 5, 120])
def test_recorded_utilisation(ticks: int) -> None:
    found = values(ticks)
    for minutes in ("1m", "5m", "15m"):
        assert found[f"host:cpu_utilisation:ratio_rate{minutes}"] == {"": pytest.approx(0.25)}
        assert found[f"host:memory_utilisation:ratio_avg{minutes}"] == {"": pytest.approx(0.75)}
        assert found[f"host:filesystem_utilisation:ratio_avg{minutes}"] == {"": pytest.approx(0.9)}
    assert found["host:load_per_core:ratio_avg1m"] == {"": pytest.approx(1.5)}
    assert found["host:load_per_core:ratio_avg5m"] == {"": pytest.approx(1.5)}
    assert found["host:load_per_core:ratio_avg15m"] == {"": pytest.approx(1.5)}
    if ticks == 120:
        for minutes in ("1m", "5m", "15m"):
            assert found[f"host:disk_utilisation:ratio_rate{minutes}"] == {"": pytest.approx(0.6)}
            assert found[f"host:network_receive_bytes:rate{minutes}"] == {"": pytest.approx(1500)}
            assert found[f"host:network_transmit_bytes:rate{minutes}"] == {"": pytest.approx(3000)}


def test_alerts_are_given_the_values_that_they_compare() -> None:
    found = values(60)
    assert found["HostSilent"] == {}
    assert found["HostCpuSaturated"] == {"": pytest.approx(0.25)}
    assert found["HostFilesystemFull"] == {"/": pytest.approx(0.5), "/data": pytest.approx(0.9)}
    assert found["HostInodesUsedUp"] == {"/": pytest.approx(0.5), "/data": pytest.approx(0.9)}
    assert found["HostLoadHigh"] == {"": pytest.approx(1.6)}
    assert found["HostNetworkErrors"] == {"eth0": pytest.approx(4), "eth1": pytest.approx(4)}


def test_a_saturated_host_that_has_just_appeared_is_seen_at_its_second_tick() -> None:
    (saturated,) = (rule for rule in load(shipped_packs()).alerts if rule.name == "HostCpuSaturated")
    assert saturated.critical is not None
    assert saturated.for_ms <= 20_000
    assert values(2, busy=0.8)["HostCpuSaturated"][""] < saturated.critical.value
    assert values(2, busy=1.0)["HostCpuSaturated"][""] == pytest.approx(1.0)
