"""`fleetpulse ingest`: store raw samples and one-minute rollups in ClickHouse."""

import argparse

from fleetpulse import logs, settings
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import ClickHouseSettings, IngestSettings, KafkaSettings, LogSettings, SelfSettings
from fleetpulse.topics import Topic
from stream_processors.dead import DeadLetters
from stream_processors.ingest.flow import Flow
from stream_processors.ingest.hours import HourJob
from stream_processors.ingest.intake import Intake
from stream_processors.ingest.sink import Sink
from stream_processors.ingest.stream import attach
from stream_processors.memory import keep_freed_memory
from stream_processors.worker import Worker


def main(argv: list[str]) -> int:
    """Run the ingest worker until SIGTERM or SIGINT."""
    argparse.ArgumentParser(prog="fleetpulse ingest", description=__doc__, allow_abbrev=False).parse_args(argv)
    log = settings.load(LogSettings)
    kafka, ingest = settings.load(KafkaSettings), settings.load(IngestSettings)
    clickhouse, own = settings.load(ClickHouseSettings), settings.load(SelfSettings)
    logs.set_up("ingest", log.level, log.format)
    keep_freed_memory()
    metrics = SelfMetrics()
    worker = Worker("ingest", kafka, Topic.METRICS, metrics)
    intake = Intake(ingest, kafka.partitions, metrics, worker.end_offset)
    sink = Sink(clickhouse.url, worker.topic_name, kafka.partitions, ingest, metrics)
    flow = Flow(worker, intake, sink, DeadLetters(kafka, metrics), ingest)
    attach(worker, intake, flow)
    hours = HourJob(clickhouse.url, worker.topic_name, kafka.partitions, ingest, metrics)
    worker.on_assigned.append(hours.keep_only)
    hours.start()
    with own_metrics("ingest", metrics, lambda: flow.not_ready, own, kafka=kafka):
        return worker.run(flow.drain)
