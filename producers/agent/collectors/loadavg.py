"""Load averages over 1, 5 and 15 minutes."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series


def loadavg(roots: Roots) -> Samples:
    """node_load1, node_load5, node_load15."""
    values = roots.read_proc("loadavg").split()
    return [(series(f"node_load{minutes}"), float(value)) for minutes, value in zip((1, 5, 15), values, strict=False)]
