"""`fleetpulse rules`: evaluate recording and alerting rules on the stream; `fleetpulse rules check FILE…`."""

import argparse
import logging
from pathlib import Path

from fleetpulse import logs, settings
from fleetpulse.logs import log_fields
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.reading import limits_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import IngestSettings, KafkaSettings, LogSettings, PublishSettings, RulesSettings, SelfSettings
from fleetpulse.topics import Topic
from stream_processors.rules.flow import Flow
from stream_processors.rules.recorder import Recorder
from stream_processors.rules.stream import attach, end_fetched, still_member
from stream_processors.worker import Worker

PROCESS = "rules"

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run the rules worker until SIGTERM or SIGINT, or check rule files."""
    if argv[:1] == ["check"]:
        from fleetpulse.rules.check import check

        return check(argv[1:])
    parser = argparse.ArgumentParser(prog="fleetpulse rules", description=__doc__, allow_abbrev=False)
    parser.add_argument("action", nargs="?", choices=["check"], help="check rule files instead: rules check FILE…")
    parser.parse_args(argv)
    return run()


def run() -> int:
    """The rules worker."""
    logging_, kafka, own = settings.load(LogSettings), settings.load(KafkaSettings), settings.load(SelfSettings)
    pack = pack_of(settings.load(RulesSettings))
    logs.set_up(PROCESS, logging_.level, logging_.format)
    log.info("rules loaded", extra=log_fields(alerts=len(pack.alerts), recordings=len(pack.recordings)))
    metrics = SelfMetrics()
    worker = Worker(PROCESS, kafka, Topic.METRICS, metrics)
    recorder = Recorder(kafka, settings.load(PublishSettings), metrics)
    group = f"{kafka.topic_prefix}.{PROCESS}"
    limits = limits_of(settings.load(IngestSettings))
    ends, member = end_fetched(worker), still_member(worker)
    flow = Flow(kafka, group, pack, worker.inbox, recorder, metrics, ends, member, limits)
    attach(worker, flow)
    with own_metrics(PROCESS, metrics, lambda: flow.not_ready, own, kafka=kafka):
        return worker.run(flow.drain)


def pack_of(rules: RulesSettings) -> RuleSet:
    """The rules in force; raises RuleError with every complaint."""
    files = [Path(part.strip()) for part in rules.files.split(",") if part.strip()]
    return load(files or shipped_packs())
