"""Late samples for rings that are full: every sample that a rule can still read stays."""

from itertools import count

import numpy as np
import pytest

from fleetpulse.promql.layout import Layouts
from fleetpulse.promql.metric_windows import MetricWindows

HORIZON_MS = 300_000


@pytest.mark.parametrize("hosts", [1, 3])
def test_late_samples_push_no_needed_sample_out_of_a_full_ring(hosts: int) -> None:
    layouts = Layouts()
    layout = layouts.of([(("n", "1"),)])
    windows = MetricWindows(HORIZON_MS, layouts, count())
    windows.resize(hosts)
    everyone = np.arange(hosts)

    def write(ts: int, host: int | None = None) -> None:
        chosen = everyone if host is None else np.array([host])
        windows.write(chosen, np.full(len(chosen), ts), layout, np.full((len(chosen), 1), float(ts)))

    in_time = [10_000 * tick for tick in range(1, 17)]  # as many as the first rings hold
    for ts in in_time:
        write(ts)
    late = [ts + 5000 for ts in in_time[2:9]]
    for ts in late:
        write(ts, host=hosts - 1)
    for host in range(hosts):
        store = windows.stores[int(windows.store_of[host])]
        times, values = store.rings.history(int(windows.row_of[host]))
        assert times.tolist() == (sorted(in_time + late) if host == hosts - 1 else in_time)
        assert values[:, 0].tolist() == times.tolist()
