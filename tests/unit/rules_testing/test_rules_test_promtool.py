"""Files of unit tests in our engine and in Debian's promtool: the same verdicts, and the same alerts.

Its 2.42 closes windows on the left; the expressions here are such that both give the same.
"""

import random
from pathlib import Path

import pytest
import yaml

from tests.support.promtool_files import our_failures, promtool_failures

FILES = Path(__file__).parent / "files"

RULES = """
groups:
  - name: recorded
    rules:
      - {record: "host:a:max", expr: "max by (instance) (a)"}
      - {alert: Recorded, expr: "host:a:max > 3", for: 2m}
  - name: alerting
    rules:
      - {alert: Now, expr: "a > 2"}
      - {alert: Later, expr: "a > 2", for: 90s, labels: {team: "{{ $labels.n }}"}}
      - {alert: Kept, expr: "a > 2", for: 1m, keep_firing_for: 4m}
      - {alert: Rising, expr: "rate(c[3m]) > 0.02", for: 1m}
      - {alert: Meta, expr: 'ALERTS{alertname="Now", n="0"} == 1', for: 1m}
      - {alert: Both, expr: "a > on (instance, n) b"}
"""


def random_file(folder: Path, seed: int) -> Path:
    """Series with gaps, stale markers and steps; nothing is expected, so that whatever fires is shown."""
    chosen = random.Random(seed)
    (folder / "rules.yaml").write_text(RULES)
    series = []
    for host in ("web-1:9100", "web-2", "10.0.0.7:9100"):
        for n in range(2):
            labels = f'{{instance="{host}", n="{n}"}}'
            series.append({"series": f"a{labels}", "values": _values(chosen, ["1", "2", "3", "4", "5"])})
            series.append({"series": f"b{labels}", "values": _values(chosen, ["2", "3"])})
            series.append({"series": f"c{labels}", "values": f"0+{chosen.randint(0, 3)}x20 0+2x15"})
    times = [{"alertname": name, "eval_time": f"{minute}m30s"} for minute in range(35) for name in ALERTS]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": times}
    path = folder / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}))
    return path


ALERTS = ("Recorded", "Now", "Later", "Kept", "Rising", "Meta", "Both")


def _values(chosen: random.Random, values: list[str]) -> str:
    parts = []
    for _ in range(12):
        kind = chosen.random()
        if kind < 0.15:
            parts.append(f"_x{chosen.randint(1, 7)}")
        elif kind < 0.25:
            parts.append("stale")
        else:
            parts.append(f"{chosen.choice(values)}x{chosen.randint(0, 4)}")
    return " ".join(parts)


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("name", ["plain.yaml", "failing.yaml"])
def test_verdicts_are_those_of_promtool(name: str) -> None:
    theirs, ours = promtool_failures(FILES / name), our_failures(FILES / name)
    assert set(ours) == set(theirs)
    assert bool(theirs) == (name == "failing.yaml")


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("seed", range(2))
def test_the_same_alerts_fire_at_every_time_as_in_promtool(tmp_path: Path, seed: int) -> None:
    path = random_file(tmp_path, seed)
    theirs = promtool_failures(path)
    assert {what.split()[1] for what in theirs} == set(ALERTS)
    assert our_failures(path) == theirs
