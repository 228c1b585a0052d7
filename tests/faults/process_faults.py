"""SIGTERM of each component under load, and the simulator as the producer."""

import struct
import time
from contextlib import ExitStack

from fleetpulse.settings import PREFIX
from producers.simulator.fleet import Fleet
from tests.faults.scenario import Scenario
from tests.faults.stage import NotInjected, Stage
from tests.support.eventually import eventually
from tests.support.metrics_topic import read_all
from tests.support.running import running

# What a component logs once it works.
STARTED = {
    "rules": "msg=assigned",
    "history": "msg=assigned",
    "notify": "msg=assigned",
    "api": "msg=serving",
    "agent": "own metrics",
}
RULES = """groups:
- name: faults
  rules:
  - alert: Impossible
    expr: faults_gauge > 1e12
"""


def others_terminated(stage: Stage) -> str:
    """Every component but the simulator gets SIGTERM in turn under load; each starts again."""
    world = stage.world
    world.settle("a", "b")
    rules = world.folder / "rules.yaml"
    rules.write_text(RULES)
    env = world.ingest_env() | {
        f"{PREFIX}RULES_FILES": str(rules),
        f"{PREFIX}API_PORT": "0",
        f"{PREFIX}AGENT_INSTANCE": "an-agent:9100",
        f"{PREFIX}AGENT_INTERVAL_SECONDS": "1",
        f"{PREFIX}DATA_DIR": str(world.folder / "others"),
    }
    codes = {}
    with ExitStack() as stack:
        others = {name: stack.enter_context(running(name, env, world.folder, log_name=name)) for name in STARTED}
        eventually(lambda: all(said in others[name].log() for name, said in STARTED.items()), 60)
        load = stage.load(stage.steps())
        for name, other in others.items():
            load.reach(load.result.steps + 5)
            codes[name] = other.stop(20.0)
            stack.enter_context(running(name, env, world.folder, log_name=f"{name}-again"))
        for server in (world.clickhouse.server, *world.brokers.servers):
            load.reach(load.result.steps + 5)
            server.stop()
            time.sleep(1.0)
            server.start()
        world.stop_merges()
        load.reach(load.result.steps + 5)
        codes["ingest"] = world.stop_worker("a")
        world.start_worker("a")
        stage.enough(load)
    stage.healed()
    assert set(codes.values()) == {0}, codes
    return f"{', '.join(codes)}, ClickHouse and Kafka ended and started again"


def simulator_terminated(stage: Stage) -> str:
    """`fleetpulse simulate` gets SIGTERM under load: what it handed over arrives, and is the fleet's own function."""
    world = stage.world
    world.settle("a", "b")
    start = world.live_minute(30.0) // 1000
    arguments = ["--hosts", "30", "--metrics", "30", "--interval", "1", "--duration", "3600"]
    arguments += ["--start", str(start), "--seed", str(stage.seed)]
    env = world.kafka_env | {f"{PREFIX}DATA_DIR": str(world.folder / "simulate")}
    with running("simulate", env, world.folder, arguments, "simulate") as simulate:
        eventually(lambda: len(_simulated(stage)) > 30, 60)
        code = simulate.stop(30.0)
    fleet = Fleet(30, 30, stage.seed)
    sent = _simulated(stage)
    by_name = {host.common["instance"]: host for host in fleet.hosts}
    for name, ts, values in sent:
        assert list(values) == fleet.values(by_name[name], ts // 1000), f"{name} at {ts} is not the fleet's"
    eventually(lambda: _visible(stage) == len(sent) * 30, 60)
    stage.healed()
    if code != 0 or len(sent) >= 30 * 3600:
        raise NotInjected(f"exit code {code}, {len(sent)} blocks")
    stage.verdict.sent = stage.verdict.stored = len(sent) * 30
    return f"exit code 0 after {len(sent)} blocks of 30 samples, every value the fleet's"


def _simulated(stage: Stage) -> list[tuple[str, int, tuple[float, ...]]]:
    blocks = (block for message in read_all(stage.world.topics) for block in message.frame.blocks)
    return [
        (block.host, block.ts, struct.unpack(f"<{len(block.value) // 8}d", block.value))
        for block in blocks
        if block.host.startswith("sim-") and isinstance(block.ts, int)
    ]


def _visible(stage: Stage) -> int:
    client = stage.world.client("grafana")
    try:
        [(count,)] = client.execute("SELECT count() FROM metrics WHERE startsWith(host, 'sim-')")
        return int(count)
    finally:
        client.disconnect()


SCENARIOS = (
    Scenario("simulator-terminated", "SIGTERM of `fleetpulse simulate` under load", simulator_terminated, "components"),
    Scenario("all-terminated", "SIGTERM of rules, history, notify, api, agent, ClickHouse, Kafka and ingest under load",
             others_terminated, "components"),
)  # fmt: skip
