"""The kernel's entropy pool, in bits."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series


def entropy(roots: Roots) -> Samples:
    """node_entropy_available_bits, node_entropy_pool_size_bits."""
    return [
        (series("node_entropy_available_bits"), float(roots.read_proc("sys/kernel/random/entropy_avail"))),
        (series("node_entropy_pool_size_bits"), float(roots.read_proc("sys/kernel/random/poolsize"))),
    ]
