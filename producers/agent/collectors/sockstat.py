"""Sockets in use by protocol."""

import os
from contextlib import suppress

from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def sockstat(roots: Roots) -> Samples:
    """node_sockstat_<protocol>_<field>; `mem` is in pages, and again in bytes as `mem_bytes`."""
    text = roots.read_proc("net/sockstat")
    with suppress(NoDataError):  # no IPv6 on this machine
        text += roots.read_proc("net/sockstat6")
    samples: Samples = []
    for line in text.splitlines():
        protocol, _, rest = line.partition(":")
        words = rest.split()
        for field, value in zip(words[::2], words[1::2], strict=True):
            samples.append((series(f"node_sockstat_{protocol}_{field}"), float(value)))
            if field == "mem":
                samples.append((series(f"node_sockstat_{protocol}_mem_bytes"), float(value) * _PAGE_BYTES))
    return samples
