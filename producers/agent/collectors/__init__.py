"""One file a collector, named as node_exporter names it; each gives a function from `Roots` to samples."""

from collections.abc import Callable

from producers.agent.collectors.conntrack import conntrack
from producers.agent.collectors.cpu import cpu
from producers.agent.collectors.diskstats import diskstats
from producers.agent.collectors.entropy import entropy
from producers.agent.collectors.filefd import filefd
from producers.agent.collectors.filesystem import Filesystem
from producers.agent.collectors.loadavg import loadavg
from producers.agent.collectors.meminfo import meminfo
from producers.agent.collectors.netclass import netclass
from producers.agent.collectors.netdev import netdev
from producers.agent.collectors.netstat import netstat
from producers.agent.collectors.pressure import pressure
from producers.agent.collectors.sockstat import sockstat
from producers.agent.collectors.stat import stat
from producers.agent.collectors.time import time
from producers.agent.collectors.uname import uname
from producers.agent.collectors.vmstat import vmstat
from producers.agent.proc import Roots
from producers.agent.samples import Samples

Collector = Callable[[Roots], Samples]


def all_collectors() -> dict[str, Collector]:
    """Every collector by node_exporter's name of it."""
    return {
        "conntrack": conntrack,
        "cpu": cpu,
        "diskstats": diskstats,
        "entropy": entropy,
        "filefd": filefd,
        "filesystem": Filesystem(),
        "loadavg": loadavg,
        "meminfo": meminfo,
        "netclass": netclass,
        "netdev": netdev,
        "netstat": netstat,
        "pressure": pressure,
        "sockstat": sockstat,
        "stat": stat,
        "time": time,
        "uname": uname,
        "vmstat": vmstat,
    }
