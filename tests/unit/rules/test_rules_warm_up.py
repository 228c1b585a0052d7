"""How much of the past a new owner of a partition reads again."""

from pathlib import Path

import pytest

from fleetpulse.rules.load import load, shipped_packs
from stream_processors.rules.recovery import LONGEST_MS, warm_ms

MINUTE_MS = 60_000


def test_the_windows_of_the_shipped_pack_are_warm_after_a_restart() -> None:
    assert 15 * MINUTE_MS < warm_ms(load(shipped_packs())) < 17 * MINUTE_MS


@pytest.mark.parametrize(
    ("rule", "minutes"),
    [
        ("{record: x, expr: 'rate(a[1m])'}", 5),
        ("{record: x, expr: 'a + 0 * avg_over_time(b[15m])'}", 15),
        ("{record: x, expr: 'a + 0 * avg_over_time(b[40m])'}", 5),
        ("{record: x, expr: 'avg_over_time(a[6h])'}", 5),
        ("{record: x, expr: 'quantile_over_time(0.9, a[40m])'}", 40),
        ("{record: x, expr: 'quantile_over_time(0.9, a[3h])'}", 60),
        ("{alert: x, expr: 'a > 1', no_data: 20m}", 21),
    ],
)
def test_the_longest_window_or_silence_counts_up_to_an_hour(rule: str, minutes: int, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"groups: [{{name: g, rules: [{rule}]}}]")
    warm = warm_ms(load([file]))
    assert minutes * MINUTE_MS <= warm <= min(LONGEST_MS, minutes * MINUTE_MS + MINUTE_MS)
