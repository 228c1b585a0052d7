"""The kernel's connection tracking table."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series

_STATS = ("found", "invalid", "ignore", "insert", "insert_failed", "drop", "early_drop", "search_restart")


def conntrack(roots: Roots) -> Samples:
    """node_nf_conntrack_entries, …_limit and …_stat_<field>; no data where nothing tracks connections."""
    samples = [
        (series("node_nf_conntrack_entries"), float(roots.read_proc("sys/net/netfilter/nf_conntrack_count"))),
        (series("node_nf_conntrack_entries_limit"), float(roots.read_proc("sys/net/netfilter/nf_conntrack_max"))),
    ]
    header, *cores = roots.read_proc("net/stat/nf_conntrack").splitlines()
    columns = header.split()
    sums = [sum(column) for column in zip(*([int(word, 16) for word in core.split()] for core in cores), strict=False)]
    values = dict(zip(columns, sums, strict=False))
    samples += [(series(f"node_nf_conntrack_stat_{field}"), float(values[field])) for field in _STATS]
    return samples
