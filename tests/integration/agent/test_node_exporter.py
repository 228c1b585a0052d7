"""The agent beside prometheus-node-exporter on the same machine: the same series, and the same values at one moment."""

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.metric import canonical_key, parse_key
from infra.embedded.ports import free_port
from producers.agent.collectors import all_collectors
from producers.agent.proc import Roots
from producers.agent.scrape import Scrape

PROGRAM = "prometheus-node-exporter"
pytestmark = pytest.mark.debian(PROGRAM)

# Debian's build has defaults of its own, and 1.5 has those of 2022; the agent has those of node_exporter 1.12.
FLAGS = (
    "--collector.filesystem.mount-points-exclude="
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    "--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|"
    "hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
    "--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$",
    "--collector.netdev.device-exclude=",
)

# Series that one side has and the other has not, each with its reason.
ONLY_OURS = {"up": "added by whoever scrapes node_exporter, so the agent adds it itself"}
ONLY_THEIRS = {
    "node_exporter_build_info": "about node_exporter; ours is fleetpulse_build_info",
}

# Gauges that move while we look, each with how far from our two readings theirs may be.
MOVING = {
    "node_memory_": 512 * 2**20,
    "node_sockstat_": 4 * 2**20,
    "node_filefd_allocated": 5000,
    "node_filesystem_free_bytes": 512 * 2**20,
    "node_filesystem_avail_bytes": 512 * 2**20,
    "node_filesystem_files_free": 50_000,
    "node_procs_": 200,
    "node_load": 2,
    "node_entropy_": 4096,
    "node_nf_conntrack_entries": 1000,
    "node_netstat_Tcp_CurrEstab": 500,
    "node_disk_io_now": 1000,
}
# Counters that the kernel itself takes back a little (proc(5) on iowait; idle is computed from it).
FALLING = {"iowait": 1.0, "idle": 1.0}
UNCOMPARED = {"node_scrape_collector_duration_seconds"}  # how long each took is its own


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log_file: Path = tmp_path_factory.mktemp("exporter") / "log"
    collectors = [f"--collector.{name}" for name in all_collectors()]
    address = f"127.0.0.1:{port}"
    command = [PROGRAM, "--collector.disable-defaults", *collectors, *FLAGS, f"--web.listen-address={address}"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                read(address)
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as response:
        return str(response.read().decode())


def parsed(text: str) -> tuple[dict[str, float], dict[str, str]]:
    """Values by canonical key and types by name, of the node_ series."""
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE node_"):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif line.startswith("node_"):
            key, _, value = line.rpartition(" ")
            values[canonical_key(*parse_key(key))] = float(value)
    return values, types


@pytest.fixture(scope="module")
def readings(exporter: str) -> tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, str]]:
    """Ours, theirs in the moment between, ours again, and their types."""
    scrape = Scrape(all_collectors(), Roots(), timeout_seconds=5.0)
    scrape()  # both sides have run once: lazy initialisation is over
    read(exporter)
    before = dict(scrape())
    theirs, types = parsed(read(exporter))
    after = dict(scrape())
    scrape.close()
    return before, theirs, after, types


def name_of(key: str) -> str:
    return key.partition("{")[0]


def test_series_names_and_labels_are_the_same_in_both_directions(
    readings: tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, str]],
) -> None:
    before, theirs, after, _ = readings
    ours = before.keys() | after.keys()
    assert {key for key in theirs.keys() - ours if name_of(key) not in ONLY_THEIRS} == set()
    assert {key for key in ours - theirs.keys() if name_of(key) not in ONLY_OURS} == set()
    assert len(theirs.keys() & ours) > 200


def test_values_differ_by_no_more_than_time_explains(
    readings: tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, str]],
) -> None:
    before, theirs, after, types = readings
    wrong = {}
    for key in theirs.keys() & before.keys() & after.keys():
        low, high = allowed(key, before[key], after[key], types[name_of(key)])
        if not low <= theirs[key] <= high:
            wrong[key] = (before[key], theirs[key], after[key])
    assert wrong == {}


def allowed(key: str, before: float, after: float, kind: str) -> tuple[float, float]:
    """Between which values theirs must be."""
    name = name_of(key)
    if name in UNCOMPARED:
        return float("-inf"), float("inf")
    slack = next((slack for prefix, slack in MOVING.items() if name.startswith(prefix)), 0.0)
    slack += FALLING.get(parse_key(key)[1].get("mode", ""), 0.0)
    slack += abs(after) * 1e-12  # the last digit of a product of floats
    assert kind != "counter" or before <= after + slack, key
    return min(before, after) - slack, max(before, after) + slack
