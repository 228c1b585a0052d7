"""Collectors on files of known content: units, names, exclusions, and what is missing or broken."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetpulse.errors import MetricError
from producers.agent.collectors import all_collectors
from producers.agent.collectors.conntrack import conntrack
from producers.agent.collectors.cpu import cpu
from producers.agent.collectors.diskstats import diskstats
from producers.agent.collectors.filesystem import Filesystem
from producers.agent.collectors.meminfo import meminfo
from producers.agent.collectors.netclass import netclass
from producers.agent.collectors.netdev import netdev
from producers.agent.collectors.netstat import netstat
from producers.agent.collectors.pressure import pressure
from producers.agent.collectors.sockstat import sockstat
from producers.agent.collectors.stat import stat
from producers.agent.collectors.vmstat import vmstat
from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Roots]:
    """Write a file below a made-up /proc or /sys."""

    def write(path: str, text: str) -> Roots:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return Roots(str(tmp_path / "proc"), str(tmp_path / "sys"))

    return write


Write = Callable[[str, str], Roots]


def test_cpu_seconds_by_core_and_mode(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.PROCFS_PATH", "/proc")
    roots = write("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 100 200 300 400 500 600 700 800 900 1000\n")
    ticks = os.sysconf("SC_CLK_TCK")
    found = dict(cpu(roots))
    assert found['node_cpu_seconds_total{cpu="0",mode="user"}'] == 100 / ticks
    assert found['node_cpu_seconds_total{cpu="0",mode="steal"}'] == 800 / ticks
    assert found['node_cpu_guest_seconds_total{cpu="0",mode="nice"}'] == 1000 / ticks
    assert len(found) == 10


def test_meminfo_is_in_bytes_and_counts_keep_their_name(write: Write) -> None:
    roots = write("proc/meminfo", "MemTotal:  100 kB\nActive(anon):  2 kB\nHugePages_Total:    3\n\n")
    assert meminfo(roots) == [
        ("node_memory_MemTotal_bytes", 102400.0),
        ("node_memory_Active_anon_bytes", 2048.0),
        ("node_memory_HugePages_Total", 3.0),
    ]


def test_vmstat_keeps_paging_faults_and_oom_kills(write: Write) -> None:
    text = "nr_free_pages 1\npgpgin 2\npswpout 3\npgfault 4\npgmajfault 5\noom_kill 6\npgalloc_dma 7\n"
    assert [key for key, _ in vmstat(write("proc/vmstat", text))] == [
        "node_vmstat_pgpgin",
        "node_vmstat_pswpout",
        "node_vmstat_pgfault",
        "node_vmstat_pgmajfault",
        "node_vmstat_oom_kill",
    ]


def test_stat_gives_kernel_activity_and_boot_time(write: Write) -> None:
    text = "cpu  1 2\nintr 12345 0 1 2\nctxt 99\nbtime 1767225600\nprocesses 7\nprocs_running 2\nprocs_blocked 1\n"
    assert dict(stat(write("proc/stat", text))) == {
        "node_intr_total": 12345.0,
        "node_context_switches_total": 99.0,
        "node_boot_time_seconds": 1767225600.0,
        "node_forks_total": 7.0,
        "node_procs_running": 2.0,
        "node_procs_blocked": 1.0,
    }


def test_disks_in_bytes_and_seconds_without_partitions(write: Write) -> None:
    new = " 8 0 sda 1 2 3 4000 5 6 7 8000 9 10000 11000 12 13 14 15000 16 17000\n"
    old = " 8 16 sdb 1 2 3 4 5 6 7 8 9 10 11\n"
    excluded = "".join(
        f" 8 1 {name} 1 2 3 4 5 6 7 8 9 10 11\n" for name in ("sda1", "loop0", "ram0", "zram0", "nvme0n1p2")
    )
    found = dict(diskstats(write("proc/diskstats", new + old + excluded)))
    assert found['node_disk_read_bytes_total{device="sda"}'] == 3 * 512
    assert found['node_disk_read_time_seconds_total{device="sda"}'] == pytest.approx(4.0)
    assert found['node_disk_io_now{device="sda"}'] == 9
    assert found['node_disk_io_time_weighted_seconds_total{device="sda"}'] == pytest.approx(11.0)
    assert found['node_disk_flush_requests_time_seconds_total{device="sda"}'] == pytest.approx(17.0)
    assert 'node_disk_discards_completed_total{device="sdb"}' not in found
    assert {key.split('device="')[1].split('"')[0] for key in found} == {"sda", "sdb"}


def test_network_counters_of_devices_with_aliases(write: Write) -> None:
    write("sys/class/net/eth0/statistics/rx_nohandler", "5\n")
    roots = write(
        "proc/net/dev",
        "Inter-|\n face |\n  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:7: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n",
    )
    found = dict(netdev(roots))
    assert found['node_network_receive_bytes_total{device="eth0"}'] == 1
    assert found['node_network_receive_multicast_total{device="eth0"}'] == 8
    assert found['node_network_transmit_bytes_total{device="eth0"}'] == 9
    assert found['node_network_receive_nohandler_total{device="eth0"}'] == 5
    assert found['node_network_transmit_compressed_total{device="eth0:7"}'] == 1


def test_network_devices_from_sysfs(write: Write) -> None:
    for name, text in {
        "operstate": "up",
        "mtu": "1500",
        "speed": "1000",
        "flags": "0x1003",
        "address": "aa:bb",
    }.items():
        roots = write(f"sys/class/net/eth0/{name}", f"{text}\n")
    write("sys/class/net/bonding_masters", "bond0\n")
    found = dict(netclass(roots))
    assert found['node_network_up{device="eth0"}'] == 1
    assert found['node_network_speed_bytes{device="eth0"}'] == 125_000_000
    assert found['node_network_flags{device="eth0"}'] == 0x1003
    assert found['node_network_info{address="aa:bb",device="eth0",operstate="up"}'] == 1
    assert len(found) == 5


def test_netstat_pairs_names_with_values(write: Write) -> None:
    write("proc/net/netstat", "TcpExt: ListenDrops Other\nTcpExt: 4 5\nIpExt: InOctets\nIpExt: 6\n")
    roots = write("proc/net/snmp", "Tcp: MaxConn CurrEstab InErrs\nTcp: -1 2 3\n")
    expected = {
        "node_netstat_TcpExt_ListenDrops": 4.0,
        "node_netstat_IpExt_InOctets": 6.0,
        "node_netstat_Tcp_CurrEstab": 2.0,
        "node_netstat_Tcp_InErrs": 3.0,
    }
    assert dict(netstat(roots)) == expected
    write("proc/net/snmp6", "Ip6InOctets 7\nUdpLite6InErrors 8\nIcmp6OutType143 9\n")
    expected |= {"node_netstat_Ip6_InOctets": 7.0, "node_netstat_UdpLite6_InErrors": 8.0}
    assert dict(netstat(roots)) == expected


def test_sockets_in_pages_and_bytes(write: Write) -> None:
    roots = write("proc/net/sockstat", "sockets: used 28\nTCP: inuse 3 mem 2\n")
    assert dict(sockstat(roots)) == {
        "node_sockstat_sockets_used": 28.0,
        "node_sockstat_TCP_inuse": 3.0,
        "node_sockstat_TCP_mem": 2.0,
        "node_sockstat_TCP_mem_bytes": 2.0 * os.sysconf("SC_PAGE_SIZE"),
    }


def test_pressure_in_seconds(write: Write) -> None:
    for resource in ("cpu", "io", "memory"):
        roots = write(f"proc/pressure/{resource}", "some avg10=0.00 total=1500000\nfull avg10=0.00 total=500000\n")
    found = dict(pressure(roots))
    assert found["node_pressure_cpu_waiting_seconds_total"] == 1.5
    assert found["node_pressure_io_stalled_seconds_total"] == 0.5
    assert len(found) == 5


def test_what_a_kernel_does_not_have_is_no_data(write: Write) -> None:
    roots = write("proc/x", "")
    for collect in (conntrack, pressure, meminfo, diskstats):
        with pytest.raises(NoDataError):
            collect(roots)


MOUNTS = (
    "/dev/sda1 / ext4 rw,relatime 0 0\n"
    "proc /proc proc rw 0 0\n"
    "tmpfs /run tmpfs rw 0 0\n"
    "/dev/sdb /mnt/with\\040space xfs ro,noatime 0 0\n"
    "overlay /var/lib/docker/overlay2/x overlay rw 0 0\n"
    "server:/share /nfs nfs4 rw 0 0\n"
)


def answer(path: str) -> os.statvfs_result:
    if path == "/nfs":
        raise OSError(116, "Stale file handle")
    return os.statvfs_result((4096, 512, 1000, 400, 300, 64, 50, 50, 0, 255))


def test_file_systems_with_their_space_inodes_and_errors(write: Write) -> None:
    found = dict(Filesystem(answer)(write("proc/mounts", MOUNTS)))
    root = 'device="/dev/sda1",fstype="ext4",mountpoint="/"'
    space = 'device="/dev/sdb",fstype="xfs",mountpoint="/mnt/with space"'
    assert found[f"node_filesystem_size_bytes{{{root}}}"] == 1000 * 512
    assert found[f"node_filesystem_free_bytes{{{root}}}"] == 400 * 512
    assert found[f"node_filesystem_avail_bytes{{{root}}}"] == 300 * 512
    assert found[f"node_filesystem_files_free{{{root}}}"] == 50
    assert found[f"node_filesystem_readonly{{{root}}}"] == 0
    assert found[f"node_filesystem_readonly{{{space}}}"] == 1
    nfs = 'device="server:/share",device_error="Stale file handle",fstype="nfs4",mountpoint="/nfs"'
    assert found[f"node_filesystem_device_error{{{nfs}}}"] == 1
    points = {key.split('mountpoint="')[1].split('"')[0] for key in found}
    assert points == {"/", "/run", "/mnt/with space", "/nfs"}


def test_mount_points_below_a_root_are_measured_there(write: Write) -> None:
    asked = []

    def note(path: str) -> os.statvfs_result:
        asked.append(path)
        return answer(path)

    roots = write("proc/1/mounts", "/dev/sda1 /host ext4 rw 0 0\n/dev/sdb /host/data ext4 rw 0 0\n")
    found = dict(Filesystem(note)(Roots(roots.proc, roots.sys, "/host")))
    assert asked == ["/host/", "/host/data"]
    assert 'node_filesystem_files{device="/dev/sdb",fstype="ext4",mountpoint="/data"}' in found


def test_every_collector_works_on_this_machine_or_has_no_data() -> None:
    def collect(collector: Callable[[Roots], Samples]) -> Samples | None:
        try:
            return collector(Roots())
        except NoDataError:
            return None

    found = {name: collect(collector) for name, collector in all_collectors().items()}
    for name in ("cpu", "loadavg", "meminfo", "filesystem", "netdev", "stat", "uname", "time", "vmstat"):
        assert found[name], name
    keys = [key for samples in found.values() for key, _ in samples or []]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("name", "labels"), [("node-x", {}), ("9node", {}), ("node_x", {"a-b": "1"})])
def test_a_name_that_breaks_the_rules_is_refused(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(MetricError):
        series(name, **labels)
