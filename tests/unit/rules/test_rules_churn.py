"""Series that come and go on hosts that stay: what names them is bounded, and no event is another one for that."""

from typing import Any

import numpy as np
import pytest

from fleetpulse.rules import partition
from fleetpulse.rules.model import RuleKind
from fleetpulse.wire import join_keys, make_block
from tests.support.rules_world import T0, World, alert

BARE: dict[str, Any] = {"labels": {}, "annotations": {}, "warning": None, "critical": None}
RULES = (
    alert(name="Failed", expr="job_failed > 0", for_ms=60_000, **BARE),
    alert(name="Often", expr="avg_over_time(job_failed[1m]) > 5", **BARE),
    alert(name="job:failed", kind=RuleKind.RECORD, expr="job_failed + 1", **BARE),
    alert(name="Lasting", expr="disk > 0", **BARE),
)
HOUR = 3600
SILENT = (1800, 6000)  # host b, whose alert fires: longer than names are kept that nothing uses


def played(hours: int) -> tuple[list[object], list[int]]:
    """Events of jobs that live for a minute, beside a disk that stays, and how many names were kept after each hour."""
    world = World(RULES)
    events: list[object] = []
    kept: list[int] = []
    for second in range(0, hours * HOUR, 30):
        for host in "ac" if SILENT[0] <= second < SILENT[1] else "abc":
            job = f'job_failed{{instance="{host}",id="{host}{second // 60}"}}'
            full = 1.0 if host != "c" and second > 600 else 0.0
            keys = join_keys([f'up{{instance="{host}"}}', job, f'disk{{instance="{host}"}}'])
            values = [1.0, float(second % 120 == 0), full]
            message = world.publish(second, make_block(host, {"job": "n"}, keys, T0 + 1000 * second, values))
            done = world.live.apply([message])
            world.done(done)
            events += [event.data for event in done.events]
        if (second + 30) % HOUR == 0:
            kept.append(len(world.live._live._keys))
    return events, kept


def test_names_of_series_that_went_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    events, kept = played(5)
    assert events
    assert kept[-1] <= kept[-2], kept
    monkeypatch.setattr(partition, "KEYS_EVERY_MS", 10**15)
    same, growing = played(5)
    assert np.diff(growing).min() > 100, growing
    assert events == same
