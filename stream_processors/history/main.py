"""`fleetpulse history`: store alert events in ClickHouse."""

import argparse

from fleetpulse import logs, settings
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import ClickHouseSettings, KafkaSettings, LogSettings, SelfSettings
from fleetpulse.topics import Topic
from stream_processors.history.flow import Flow
from stream_processors.history.sink import Sink
from stream_processors.history.stream import attach
from stream_processors.worker import Worker

PROCESS = "history"


def main(argv: list[str]) -> int:
    """Run the history worker until SIGTERM or SIGINT."""
    argparse.ArgumentParser(prog="fleetpulse history", description=__doc__, allow_abbrev=False).parse_args(argv)
    log, kafka = settings.load(LogSettings), settings.load(KafkaSettings)
    clickhouse, own = settings.load(ClickHouseSettings), settings.load(SelfSettings)
    logs.set_up(PROCESS, log.level, log.format)
    metrics = SelfMetrics()
    worker = Worker(PROCESS, kafka, Topic.ALERTS, metrics, read_committed=True)
    sink = Sink(clickhouse.url, metrics)
    flow = Flow(worker.inbox, sink, metrics)
    attach(worker, flow)
    with own_metrics(PROCESS, metrics, lambda: sink.failing, own, kafka=kafka):
        return worker.run(flow.drain)
