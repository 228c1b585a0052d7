"""Paging and swap activity, page faults and OOM kills."""

import re

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series

_FIELDS = re.compile(r"(oom_kill|pgpg|pswp|pg.*fault).*")  # node_exporter's default


def vmstat(roots: Roots) -> Samples:
    """node_vmstat_<field>: pgpgin and pgpgout in KiB, pswpin and pswpout in pages."""
    samples: Samples = []
    for line in roots.read_proc("vmstat").splitlines():
        field, _, value = line.partition(" ")
        if field[0] in "op" and _FIELDS.fullmatch(field):
            samples.append((series(f"node_vmstat_{field}"), float(value)))
    return samples
