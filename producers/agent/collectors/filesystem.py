"""Space and inodes of mounted file systems. A mount that does not answer is reported as an error, and waited for."""

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from producers.agent.patience import Patience
from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

MOUNT_TIMEOUT_SECONDS = 2.0
# node_exporter's defaults
_EXCLUDED_MOUNTS = re.compile(
    r"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/.*)"
)
_EXCLUDED_TYPES = re.compile(
    r"autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs"
    r"|overlay|procfs|proc|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of /proc/mounts."""

    device: str
    mountpoint: str
    fstype: str
    read_only: bool


class Filesystem:
    """node_filesystem_…{device,mountpoint,fstype}: space in bytes, inodes, read-only, and whether it answers."""

    def __init__(
        self,
        statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
        timeout_seconds: float = MOUNT_TIMEOUT_SECONDS,
    ) -> None:
        self._statvfs = statvfs
        self._patience = Patience[os.statvfs_result]("filesystem-mounts", timeout_seconds)

    def __call__(self, roots: Roots) -> Samples:
        mounts = {mount.mountpoint: mount for mount in _mounts(roots)}  # what is mounted over is hidden
        outcomes = self._patience.run({point: self._call(f"{roots.root}{point}") for point in mounts})
        samples: Samples = []
        for point, outcome in outcomes.items():
            samples += _measured(mounts[point], outcome.value, outcome.error)
        return samples

    def _call(self, path: str) -> Callable[[], os.statvfs_result]:
        return lambda: self._statvfs(path)


def _mounts(roots: Roots) -> list[Mount]:
    try:
        text = roots.read_proc("1/mounts")  # the machine's own, when the agent has a mount namespace of its own
    except (NoDataError, PermissionError):
        text = roots.read_proc("mounts")
    mounts = []
    for line in text.splitlines():
        device, mountpoint, fstype, options = (_unescaped(word) for word in line.split(" ")[:4])
        if roots.root:
            mountpoint = mountpoint.removeprefix(roots.root) or "/"
        if not _EXCLUDED_TYPES.fullmatch(fstype) and not _EXCLUDED_MOUNTS.fullmatch(mountpoint):
            mounts.append(Mount(device, mountpoint, fstype, "ro" in options.split(",")))
    return mounts


def _unescaped(word: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), word) if "\\" in word else word


def _measured(mount: Mount, found: os.statvfs_result | None, error: Exception | None) -> Samples:
    labels = {"device": mount.device, "mountpoint": mount.mountpoint, "fstype": mount.fstype}
    readonly = (series("node_filesystem_readonly", **labels), float(mount.read_only))
    if found is None:
        cause = (error.strerror or "") if isinstance(error, OSError) else ""
        failed = series("node_filesystem_device_error", **labels, device_error=cause or str(error))
        return [(failed, 1.0), readonly]
    return [
        (series("node_filesystem_size_bytes", **labels), float(found.f_blocks * found.f_frsize)),
        (series("node_filesystem_free_bytes", **labels), float(found.f_bfree * found.f_frsize)),
        (series("node_filesystem_avail_bytes", **labels), float(found.f_bavail * found.f_frsize)),
        (series("node_filesystem_files", **labels), float(found.f_files)),
        (series("node_filesystem_files_free", **labels), float(found.f_ffree)),
        (series("node_filesystem_device_error", **labels), 0.0),
        readonly,
    ]
