"""Which metrics the producers that come with Fleetpulse send: the agent's, and the own metrics of every process.

A rule that reads another metric is no mistake, as any program may write to the topic; but it may be a misspelled one.
"""

import re
from collections.abc import Iterable

from fleetpulse.promql.syntax import Expr, selections
from fleetpulse.selfmetrics import METRICS

# As the agent's collectors name them; where a name is made of a file of the kernel, by how it begins.
_NODE = (
    r"boot_time_seconds|context_switches_total|forks_total|intr_total|procs_(blocked|running)",
    r"cpu_(guest_)?seconds_total|load(1|5|15)|uname_info",
    r"disk_((reads|writes|discards)_(completed|merged)_total|(read|write|discard|io)_time_seconds_total)",
    r"disk_(read_bytes_total|written_bytes_total|io_now|info|io_time_weighted_seconds_total)",
    r"disk_(discarded_sectors_total|flush_requests_(time_seconds_)?total)",
    r"entropy_(available|pool_size)_bits|filefd_(allocated|maximum)",
    r"filesystem_(avail_bytes|device_error|files|files_free|free_bytes|readonly|size_bytes)",
    r"memory_\w+|netstat_\w+_\w+|sockstat_\w+_\w+|vmstat_(oom_kill|pgpg|pswp|pg.*fault)\w*",
    r"network_(receive_(bytes|compressed|drop|errs|fifo|frame|multicast|nohandler|packets)_total)",
    r"network_(transmit_(bytes|carrier|colls|compressed|drop|errs|fifo|packets)_total|transmit_queue_length)",
    r"network_(address_assign_type|carrier|carrier_(down_|up_)?changes_total|device_id|dormant|flags|iface_id)",
    r"network_(iface_link|iface_link_mode|info|mtu_bytes|name_assign_type|net_dev_group|protocol_type|speed_bytes|up)",
    r"nf_conntrack_(entries|entries_limit|stat_\w+)",
    r"pressure_(cpu_waiting|io_stalled|io_waiting|irq_stalled|memory_stalled|memory_waiting)_seconds_total",
    r"scrape_collector_(duration_seconds|success)",
    r"time_(seconds|zone_offset_seconds|clocksource_(available|current)_info)",
)
_SENT = re.compile(rf"up|node_({'|'.join(_NODE)})", re.ASCII)


def is_sent(name: str) -> bool:
    """Whether a producer of ours sends series of this metric."""
    return name in METRICS or _SENT.fullmatch(name) is not None


def not_sent(expr: Expr, recorded: Iterable[str]) -> list[str]:
    """The metrics, by their names, that an expression reads and that nobody of ours sends or records."""
    names = dict.fromkeys(leaf.selector.name for leaf in selections(expr))
    known = set(recorded)
    return [name for name in names if name is not None and name not in known and not is_sent(name)]
