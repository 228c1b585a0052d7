"""Memory and swap space: all of /proc/meminfo."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series


def meminfo(roots: Roots) -> Samples:
    """node_memory_<Field>_bytes; fields without a unit keep their bare name."""
    samples: Samples = []
    for line in roots.read_proc("meminfo").splitlines():
        field, _, rest = line.partition(":")
        words = rest.split()
        name = f"node_memory_{field.replace('(', '_').replace(')', '')}"
        if len(words) == 2:
            samples.append((series(f"{name}_bytes"), float(words[0]) * 1024))
        elif len(words) == 1:
            samples.append((series(name), float(words[0])))
    return samples
