"""Kernel and machine names, as labels."""

import os

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series


def uname(roots: Roots) -> Samples:
    """node_uname_info 1."""
    names = os.uname()
    key = series(
        "node_uname_info",
        sysname=names.sysname,
        release=names.release,
        version=names.version,
        machine=names.machine,
        nodename=names.nodename,
        domainname=roots.read_proc("sys/kernel/domainname").strip(),
    )
    return [(key, 1.0)]
