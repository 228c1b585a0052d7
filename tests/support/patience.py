"""How long a limit is here: limits are written for a machine that does nothing else, and tests run beside others."""

import os

PARALLEL = "PYTEST_XDIST_WORKER_COUNT"


def patient(seconds: float) -> float:
    """The limit times the processes that share a processor: those that run tests, or more where the load says so."""
    testing = int(os.environ.get(PARALLEL, "1"))
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(1.0, float(testing), load)
