"""Disk activity by block device, from /proc/diskstats: raw counters, times in seconds, sizes in bytes."""

import re

from producers.agent.proc import Roots, read
from producers.agent.samples import NoDataError, Samples, series

# node_exporter's default: partitions, ram disks and loop devices are left out
_EXCLUDED = re.compile(r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+")
_SECTOR_BYTES = 512
_MILLI = 1e-3
# the columns after the device's name, each with the factor to its unit (Documentation/admin-guide/iostats.rst)
_COLUMNS = (
    ("node_disk_reads_completed_total", 1),
    ("node_disk_reads_merged_total", 1),
    ("node_disk_read_bytes_total", _SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", _MILLI),
    ("node_disk_writes_completed_total", 1),
    ("node_disk_writes_merged_total", 1),
    ("node_disk_written_bytes_total", _SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", _MILLI),
    ("node_disk_io_now", 1),
    ("node_disk_io_time_seconds_total", _MILLI),
    ("node_disk_io_time_weighted_seconds_total", _MILLI),
    ("node_disk_discards_completed_total", 1),
    ("node_disk_discards_merged_total", 1),
    ("node_disk_discarded_sectors_total", 1),
    ("node_disk_discard_time_seconds_total", _MILLI),
    ("node_disk_flush_requests_total", 1),
    ("node_disk_flush_requests_time_seconds_total", _MILLI),
)
_UDEV = {
    "path": "ID_PATH",
    "wwn": "ID_WWN",
    "model": "ID_MODEL",
    "serial": "ID_SERIAL_SHORT",
    "revision": "ID_REVISION",
}


def diskstats(roots: Roots) -> Samples:
    """node_disk_…{device} and node_disk_info; an older kernel has fewer columns and gives fewer series."""
    samples: Samples = []
    for line in roots.read_proc("diskstats").splitlines():
        major, minor, device, *values = line.split()
        if _EXCLUDED.fullmatch(device):
            continue
        for (metric, factor), value in zip(_COLUMNS, values, strict=False):
            samples.append((series(metric, device=device), float(value) * factor))
        info = series("node_disk_info", device=device, major=major, minor=minor, **_udev(major, minor))
        samples.append((info, 1.0))
    return samples


def _udev(major: str, minor: str) -> dict[str, str]:
    try:
        text = read(f"/run/udev/data/b{major}:{minor}")
    except NoDataError:
        return {}
    found = dict(line[2:].partition("=")[::2] for line in text.splitlines() if line.startswith("E:"))
    return {label: found[key] for label, key in _UDEV.items() if key in found}
