"""File handles of the whole system."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series


def filefd(roots: Roots) -> Samples:
    """node_filefd_allocated, node_filefd_maximum."""
    allocated, _, maximum = roots.read_proc("sys/fs/file-nr").split()
    return [(series("node_filefd_allocated"), float(allocated)), (series("node_filefd_maximum"), float(maximum))]
