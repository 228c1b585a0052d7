"""After the faults of a group: wait until its minutes have closed, then compare in every way there is."""

import json
import math
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from fleetpulse.clock import to_rfc3339
from tests.faults.expected import MINUTE_MS
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict
from tests.faults.world import World
from tests.support.grafana_macros import View, expand
from tests.support.patience import patient

CLOSE_SECONDS, MOST_SECONDS = 60.0, 240.0
DASHBOARD = Path(__file__).parents[2] / "infra" / "grafana" / "dashboards" / "host.json"
PANEL = "Any metric: ${metric}"


def wait_closed(stages: list[Stage]) -> None:
    """Wait until the rollups are what they must be, or until they had all the time they need."""
    waiting = [stage for stage in stages if len(stage.expected) and not stage.verdict.notes]
    now_ms = time.time_ns() // 1_000_000  # a clock that is ahead closes nothing later
    last_ms = max([min(now_ms, stage.expected.range_ms[1]) for stage in waiting], default=0)
    until = max(time.time(), stages[0].world.closes_at(last_ms // MINUTE_MS * MINUTE_MS)) + min(
        MOST_SECONDS, patient(CLOSE_SECONDS)
    )
    while waiting and time.time() < until:
        waiting = [stage for stage in waiting if not look(stage).passed]
        time.sleep(0.5 if waiting else 0.0)


def judge(stage: Stage) -> None:
    """Everything but the commands, which look at the whole world."""
    if not len(stage.expected):
        return
    verdict = look(stage)
    rows = stage.oracle(lambda oracle: oracle.rows(), "fleetpulse")
    verdict.duplicates = rows - verdict.stored
    stage.verdict.merge(verdict)
    stage.verdict.sent = verdict.sent
    last = stage.hosts.series - 1
    for host, series in ((0, last), (stage.hosts.count // 2, 0), (stage.hosts.count - 1, last)):
        stage.verdict.wrong += _dashboard(stage, host, series) + _api(stage, host, series)


def look(stage: Stage) -> Verdict:
    """Raw samples and the rollups of every tier, as the public views show them now."""
    over = stage.world.hours_over()
    return stage.oracle(lambda oracle: oracle.look(over))


def _dashboard(stage: Stage, host: int, series: int) -> int:
    """The host dashboard's panel of any metric, as user `grafana`: how many of its points are not the generator's."""
    wanted = _by_time(stage, host, series)
    if not wanted:
        return 0
    low, high = min(wanted), max(wanted)
    name, labels = stage.hosts.keys[series]
    shown = {"host": [stage.hosts.names[host]], "metric": [name], "datasource": ["x"]}
    sql = expand(_panel(), View(low - 1000, high + 1000, 60_000, shown, {}))
    client = stage.world.client("grafana")
    try:
        rows = client.execute(sql)
    finally:
        client.disconnect()
    own = "{" + ",".join(f"'{key}':'{value}'" for key, value in labels.items()) + "}"
    found = [(round(at.timestamp() * 1000), value) for at, text, value in rows if text == own]
    return _differences(stage, "dashboard", stage.hosts.names[host], found, wanted)


def _panel() -> str:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    [panel] = [one for one in panels if one["title"] == PANEL]
    sql: str = panel["targets"][0]["rawSql"]
    return sql


def _api(stage: Stage, host: int, series: int) -> int:
    """`/api/fleet/v1/samples`, steps of a second from raw samples: how many points are not the generator's."""
    wanted = _by_time(stage, host, series)
    if not wanted:
        return 0
    high = max(wanted)
    recent = {ts: value for ts, value in wanted.items() if ts > high - 600_000}
    name, labels = stage.hosts.keys[series]
    answer = httpx.get(
        f"{stage.world.api}/api/fleet/v1/samples",
        params={
            "metric": name, "host": stage.hosts.names[host], "aggregate": "last", "step": "1s",
            "match": [f'{key}="{value}"' for key, value in labels.items()],
            "start": to_rfc3339(high - 600_000), "end": to_rfc3339(high + 1000),
        },
        timeout=30.0,
    )  # fmt: skip
    answer.raise_for_status()
    found = [
        (at, _number(value)) for one in answer.json()["series"] for at, value in one["points"] if value is not None
    ]
    return _differences(stage, "API", stage.hosts.names[host], found, _last_of_seconds(recent))


def _last_of_seconds(samples: dict[int, float]) -> dict[int, float]:
    """As the API defines it: NaN is left out, unless there is nothing else."""
    last: dict[int, float] = {}
    for ts, value in sorted(samples.items()):
        second = ts // 1000 * 1000
        if second not in last or not math.isnan(value):
            last[second] = value
    return last


def _number(value: Any) -> float:
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}[value] if isinstance(value, str) else float(value)


def _by_time(stage: Stage, host: int, series: int) -> dict[int, float]:
    return dict(stage.expected.series(host, series))


def _differences(stage: Stage, what: str, host: str, found: list[tuple[int, float]], wanted: dict[int, float]) -> int:
    shown = dict(found)
    twice = len(found) - len(shown)
    wrong = [ts for ts in wanted.keys() | shown.keys() if not _same(wanted.get(ts), shown.get(ts))]
    stage.verdict.note(what, [f"{host} at {ts}: {shown.get(ts)!r}, not {wanted.get(ts)!r}" for ts in sorted(wrong)])
    return twice + len(wrong)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def commands(world: World, stages: list[Stage]) -> None:
    """`fleetpulse verify` and `fleetpulse audit` over the whole world; what they find goes to its fault."""
    verified = _json(world.command("verify", "--since", "24h", "--json", timeout=300.0))
    for tier in verified["tiers"]:
        for difference in tier["differences"]:
            stage = _stage_of(difference["host"], stages)
            stage.verdict.rollups += 1
            columns = ", ".join(f"{name} {one}" for name, one in difference["columns"].items())
            stage.verdict.note(f"verify {tier['tier']}", [f"{difference['host']} {difference['bucket']} {columns}"])
    audited = _json(world.command("audit", "--since", "24h", "--all", "--json", timeout=300.0))
    for row in audited["rows"]:
        stage = _stage_of(row["host"], stages)
        stage.verdict.dropped += row["dropped"]
        unexplained = abs(row["unexplained"]) + row["pending"]
        stage.verdict.unexplained += unexplained
        if unexplained:
            stage.verdict.note("audit", [" ".join(f"{name}={value}" for name, value in row.items())])
    for hole in audited["offsets"]:
        stages[-1].verdict.note("audit", [str(hole)])
    for name in ("lost_messages", "waiting_messages", "unread_messages"):
        if audited[name]:
            stages[-1].verdict.note("audit", [f"{name}: {audited[name]}"])


def _json(command: subprocess.CompletedProcess[str]) -> Any:
    assert command.returncode in (0, 1), command.stderr[-2000:]
    return json.loads(command.stdout)


def _stage_of(host: str, stages: list[Stage]) -> Stage:
    """Whose host it is; the last one's, when it is nobody's."""
    return next((stage for stage in stages if host.startswith(f"{stage.name}-")), stages[-1])
