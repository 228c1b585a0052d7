"""`fleetpulse agent`: publish this machine's metrics."""

import argparse
import socket

from fleetpulse import logs, settings
from fleetpulse.clock import SystemClock
from fleetpulse.errors import SettingsError
from fleetpulse.metric import with_common
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import AgentSettings, KafkaSettings, LogSettings, PublishSettings, SelfSettings
from fleetpulse.shutdown import stop_on_signals
from producers.agent import footprint, loop
from producers.agent.collectors import all_collectors
from producers.agent.proc import Roots
from producers.agent.samples import Samples
from producers.agent.scrape import Scrape

CLOSE_SECONDS = 4.0
ONCE_SECONDS = 15.0


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="fleetpulse agent", description=__doc__, allow_abbrev=False)
    parser.add_argument("--once", action="store_true", help="one tick, now; exit 1 when Kafka does not take it")
    parser.add_argument("--print", action="store_true", help="print the samples as exposition text, send nothing")
    arguments = parser.parse_args(argv)
    agent = settings.load(AgentSettings)
    log_settings = settings.load(LogSettings)
    logs.set_up("agent", log_settings.level, log_settings.format)
    if agent.interval_seconds < 0.001:
        raise SettingsError(
            f"FLEETPULSE_AGENT_INTERVAL_SECONDS is {agent.interval_seconds}: at least 0.001 is possible"
        )
    roots = Roots(agent.proc_path, agent.sys_path, agent.root_path)
    scrape = Scrape(all_collectors(), roots, agent.collector_timeout_seconds)
    common = {"instance": agent.instance or socket.gethostname(), "job": agent.job}
    if arguments.print:
        return _print(agent, scrape, common, once=arguments.once)
    block = loop.TickBlock(common["job"], common["instance"])
    footprint.one_arena()
    metrics = SelfMetrics()
    # One tick uses no spool: the agent that runs on this machine has it.
    process = "" if arguments.once else "agent"
    publisher = Publisher(settings.load(KafkaSettings), settings.load(PublishSettings), metrics, process=process)
    if arguments.once:
        publisher.send([block(scrape(), SystemClock().now_ms())])
        return 0 if publisher.close(ONCE_SECONDS) else 1
    return _run(agent, scrape, block, publisher, metrics)


def exposition(samples: Samples, common: dict[str, str], ts_ms: int) -> str:
    """The samples as they will be stored, in the Prometheus text format with timestamps."""
    return "".join(f"{with_common(key, common)} {value!r} {ts_ms}\n" for key, value in samples)


def _run(
    agent: AgentSettings, scrape: Scrape, block: loop.TickBlock, publisher: Publisher, metrics: SelfMetrics
) -> int:
    def ready() -> str | None:
        if not metrics.get("fleetpulse_agent_ticks_total"):
            return "no tick yet"
        return None if publisher.connected else f"Kafka is unreachable; {publisher.waiting_bytes} bytes wait for it"

    clock = SystemClock()
    interval_ms = round(agent.interval_seconds * 1000)
    try:
        with (
            stop_on_signals() as stop,
            own_metrics("agent", metrics, ready, settings.load(SelfSettings), publisher=publisher),
        ):
            footprint.settle()
            loop.run(scrape, block, publisher, interval_ms, metrics, clock, stop)
    finally:
        publisher.close(CLOSE_SECONDS)
        scrape.close()
    return 0


def _print(agent: AgentSettings, scrape: Scrape, common: dict[str, str], once: bool) -> int:
    clock = SystemClock()
    interval_ms = round(agent.interval_seconds * 1000)
    if once:
        print(exposition(scrape(), common, clock.now_ms()), end="")
        return 0
    with stop_on_signals() as stop:
        while True:
            now_ms = clock.now_ms()
            tick_ms = loop.next_tick(now_ms, interval_ms)
            if stop.wait((tick_ms - now_ms) / 1000):
                return 0
            print(exposition(scrape(), common, tick_ms), flush=True)
