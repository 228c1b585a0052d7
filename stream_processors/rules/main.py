"""`fleetpulse rules`: evaluate recording and alerting rules on the stream."""

import asyncio
import logging
from collections.abc import Sequence

from fleetpulse import logs, settings
from fleetpulse.logs import log_fields
from fleetpulse.rules.conduct import conduct_of
from fleetpulse.rules.load import load, rule_file, shipped_packs
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.reading import limits_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import (
    ClickHouseSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    PublishSettings,
    RulesSettings,
    SelfSettings,
)
from fleetpulse.topics import Topic
from stream_processors.rules.flow import Flow
from stream_processors.rules.recorder import Recorder
from stream_processors.rules.rules_topic import RulesTopic
from stream_processors.rules.stream import attach, end_fetched, still_member
from stream_processors.rules.warm_up import WarmUp
from stream_processors.worker import Worker, wait_for_topics

PROCESS = "rules"

log = logging.getLogger(__name__)


def run(argv: Sequence[str] = ()) -> int:
    """The rules worker, until SIGTERM or SIGINT."""
    logging_, kafka, own = settings.load(LogSettings), settings.load(KafkaSettings), settings.load(SelfSettings)
    pack = pack_of(settings.load(RulesSettings))
    logs.set_up(PROCESS, logging_.level, logging_.format)
    metrics = SelfMetrics()
    flows: list[Flow] = []

    def not_ready() -> str | None:
        return flows[0].not_ready if flows else "the rules are not read yet"

    with own_metrics(PROCESS, metrics, not_ready, own, kafka=kafka):
        wait_for_topics(kafka)
        topic = RulesTopic(kafka, metrics)
        asyncio.run(topic.read_to_end())
        published = topic.book.authority is not None
        pack = topic.book.rule_set() if published else pack
        facts = {"alerts": len(pack.alerts), "recordings": len(pack.recordings), "waiting": len(pack.waiting)}
        log.info("rules loaded", extra=log_fields(**facts, source="topic" if published else "files"))
        for one in pack.waiting:
            which = {"rule": one.rule.name, "place": one.rule.place, "cause": one.why}
            log.warning("a rule waits for the ruler and is not evaluated", extra=log_fields(**which))
        worker = Worker(PROCESS, kafka, Topic.METRICS, metrics)
        flow = _flow(worker, kafka, pack, metrics)
        attach(worker, flow, topic)
        flows.append(flow)
        return worker.run(flow.drain)


def _flow(worker: Worker, kafka: KafkaSettings, pack: RuleSet, metrics: SelfMetrics) -> Flow:
    recorder = Recorder(kafka, settings.load(PublishSettings), metrics)
    group = f"{kafka.topic_prefix}.{PROCESS}"
    limits, conduct = limits_of(settings.load(IngestSettings)), conduct_of(settings.load(RulesSettings))
    ends, member = end_fetched(worker), still_member(worker)
    url = settings.load(ClickHouseSettings).url
    warm_up = WarmUp(url, Topic.METRICS.named(kafka.topic_prefix), kafka.partitions, metrics)
    return Flow(kafka, group, pack, worker.inbox, recorder, metrics, ends, member, limits, conduct, warm_up)


def pack_of(rules: RulesSettings) -> RuleSet:
    """The rules in force where no database has published any; raises RuleError with every complaint."""
    files = [rule_file(part.strip()) for part in rules.files.split(",") if part.strip()]
    return load(files or shipped_packs())
