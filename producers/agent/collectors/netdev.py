"""Traffic and errors by network device, as raw counters."""

from contextlib import suppress

from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

_COLUMNS = (
    *(f"receive_{word}" for word in ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")),
    *(f"transmit_{word}" for word in ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")),
)


def netdev(roots: Roots) -> Samples:
    """node_network_receive_…_total{device} and node_network_transmit_…_total{device}."""
    samples: Samples = []
    for line in roots.read_proc("net/dev").splitlines()[2:]:
        device, _, rest = line.rpartition(":")  # an alias such as eth0:1 has a colon too
        device = device.strip()
        for column, value in zip(_COLUMNS, rest.split(), strict=False):
            samples.append((series(f"node_network_{column}_total", device=device), float(value)))
        with suppress(NoDataError):
            unhandled = roots.read_sys(f"class/net/{device}/statistics/rx_nohandler")
            samples.append((series("node_network_receive_nohandler_total", device=device), float(unhandled)))
    return samples
