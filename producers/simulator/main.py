"""`fleetpulse simulate`: publish the metrics of a simulated fleet."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from fleetpulse import logs, settings
from fleetpulse.clock import SystemClock
from fleetpulse.publish.packer import Packer
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import KafkaSettings, LogSettings, PublishSettings, SelfSettings
from fleetpulse.shutdown import stop_on_signals
from producers.simulator.fleet import Fleet
from producers.simulator.incident import parse_incident
from producers.simulator.progress import Progress
from producers.simulator.run import Pace, run, ticks

CLOSE_SECONDS = 8.0
FINISH_SECONDS = 60.0
ANSWER_SECONDS = 20.0  # at the end, for a Kafka that does not answer
AWAY_SECONDS = 1.0
INCIDENT_BACKFILL_SECONDS = 130


def main(argv: list[str]) -> int:
    """Run to the end of the duration, or until SIGTERM or SIGINT; exit 1 when samples were lost."""
    arguments = _parse(argv)
    kafka, publish = settings.load(KafkaSettings), settings.load(PublishSettings)
    log_settings = settings.load(LogSettings)
    logs.set_up("simulate", log_settings.level, log_settings.format)
    fleet, times, start_s = _plan(arguments)
    metrics, clock = SelfMetrics(), SystemClock()
    metrics.set("fleetpulse_simulator_hosts", arguments.hosts)
    progress = Progress(metrics, arguments.hosts)
    own = settings.load(SelfSettings)
    if arguments.as_fast_as_possible:
        own = replace(own, interval_seconds=0.0)  # nothing but the simulated fleet goes to the topic
    pace = Pace(arguments.interval, not arguments.as_fast_as_possible, publish.buffer_bytes // 2)
    publisher = Publisher(kafka, publish, metrics, process="simulator", several=True)

    def ready() -> str | None:
        return None if publisher.connected else "Kafka is unreachable"

    simulated = start_s

    def shown(tick: int) -> None:
        nonlocal simulated
        simulated = tick
        progress.show(tick - start_s + arguments.interval)

    with stop_on_signals() as stop:
        try:
            with own_metrics("simulator", metrics, ready, own, publisher=publisher):
                run(fleet, times, pace, Packer(kafka.partitions), publisher, clock, stop, shown)
                if publisher.connected or not publisher.flush(ANSWER_SECONDS, stop):
                    publisher.flush(FINISH_SECONDS if publisher.connected else 0.0, stop)
        finally:
            delivered = publisher.close(CLOSE_SECONDS if publisher.connected else AWAY_SECONDS)
    progress.show(simulated - start_s + arguments.interval, last=True)
    return _verdict(publisher, metrics, delivered, kafka.bootstrap_servers)


def _verdict(publisher: Publisher, metrics: SelfMetrics, delivered: bool, address: str) -> int:
    names = ("fleetpulse_publish_dropped_samples_total", "fleetpulse_publish_failed_samples_total")
    lost = sum(map(metrics.get, names))
    if not lost and delivered:
        return 0
    cause = "" if publisher.connected else f": no Kafka answers at {address}"
    what = [f"{lost:,.0f} samples were lost"] if lost else []
    if publisher.spooled_bytes:
        size = f"{publisher.spooled_bytes / 2**20:.1f} MiB"
        what.append(f"{size} wait in {publisher.spool_folder} and are sent by the next `fleetpulse simulate`")
    print(f"fleetpulse simulate: {', '.join(what) or 'not everything was sent'}{cause}", file=sys.stderr)
    return 1


def _plan(arguments: argparse.Namespace) -> tuple[Fleet, Iterator[int], int]:
    """The fleet, its tick times, and the first live tick (Unix seconds)."""
    interval, duration = arguments.interval, arguments.duration
    start_s = arguments.start
    if start_s is None:
        start_s = SystemClock().now_ms() // 1000
        if arguments.as_fast_as_possible and duration is not None:
            start_s -= duration  # the simulated time ends now: Kafka's consumers refuse samples from the future
    start_s -= start_s % interval
    backfill = arguments.backfill
    if backfill is None:
        backfill = INCIDENT_BACKFILL_SECONDS if arguments.incident else 0
    incidents = [parse_incident(text, arguments.hosts, arguments.seed, start_s) for text in arguments.incident]
    fleet = Fleet(arguments.hosts, arguments.metrics, arguments.seed, incidents)
    return fleet, ticks(start_s, interval, backfill, duration), start_s


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleetpulse simulate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--hosts", type=_positive, default=10, help="number of hosts (10)")
    parser.add_argument("--metrics", type=_positive, default=100, help="series of each host (100)")
    parser.add_argument("--interval", type=_positive, default=10, help="seconds between a host's samples (10)")
    parser.add_argument("--seed", type=int, default=1, help="same seed and start, same samples (1)")
    parser.add_argument("--start", type=int, help="first tick, Unix seconds (now)")
    parser.add_argument("--duration", type=_positive, help="seconds of the hosts' time (without end)")
    parser.add_argument(
        "--backfill", type=int, help="seconds of history sent at the start (130 with an incident, else 0)"
    )
    parser.add_argument(
        "--incident",
        action="append",
        default=[],
        metavar="NAME",
        help="cpu_spike[:HOSTS[:SECONDS]] or host_silent[:HOSTS[:AFTER_SECONDS]]; may be given more than once",
    )
    parser.add_argument("--as-fast-as-possible", action="store_true", help="do not wait for the ticks' times")
    arguments = parser.parse_args(argv)
    if arguments.as_fast_as_possible and arguments.duration is None:
        parser.error("--as-fast-as-possible needs --duration")
    return arguments


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
