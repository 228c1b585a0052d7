"""The API over three alerts that are on the topic of states, with a notify configuration; without ClickHouse."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from api.app import create_app
from api.main import make_context
from fleetpulse.clock import SystemClock
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.rules.state import AlertRecord
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import ApiSettings, KafkaSettings
from fleetpulse.topics import Topic
from tests.integration.api.conftest import serving
from tests.support.eventually import eventually
from tests.support.notifying import T0
from tests.support.servers import KafkaServer
from tests.support.topics import fresh_topics

CONFIG = """\
route:
  receiver: page
  group_by: [alertname]
  routes:
    - matchers: [severity="critical"]
      receiver: oncall
receivers:
  - name: page
  - name: oncall
    webhook_configs: [{url: 'https://hooks.example.org/T0KEN'}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [instance]
"""


def firing(name: str, host: str, severity: str) -> tuple[bytes, bytes]:
    record = AlertRecord(
        rule=name,
        rule_hash="0" * 16,
        host=host,
        fingerprint=f"{name}-{host}",
        series={"instance": host},
        labels={"alertname": name, "instance": host},
        severities=[severity],
        annotations={"summary": f"{name} at {host}"},
        phase=[2],
        since_ms=[T0],
        false_since_ms=[-1],
        severity=1,
        start_ms=T0,
        number=1,
        stale=False,
        held=False,
        last_true_ms=T0,
        last_eval_ms=T0,
        value="1",
        no_data=False,
    )
    key = ["alert", record.rule, record.host, record.fingerprint, "false"]
    return msgspec.json.encode(key), msgspec.json.encode(record)


def publish(kafka: KafkaSettings, *records: tuple[bytes, bytes]) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(**aiokafka_config(kafka))
        await producer.start()
        try:
            for key, value in records:
                topic = Topic.ALERTS_STATE.named(kafka.topic_prefix)
                await producer.send_and_wait(topic, value=value, key=key, partition=0)
        finally:
            await producer.stop()

    asyncio.run(send())


def with_alerts(kafka: KafkaServer) -> KafkaSettings:
    """Topics on which Hot fires at web-1, and Slow at web-1 and web-2."""
    settings = fresh_topics(kafka.bootstrap_servers)
    alerts = [
        firing("Hot", "web-1", "critical"),
        firing("Slow", "web-1", "warning"),
        firing("Slow", "web-2", "warning"),
    ]
    publish(settings, *alerts)
    return settings


@contextmanager
def alerting_api(settings: KafkaSettings, folder: Path) -> Iterator[str]:
    """Its address, once it knows the three alerts."""
    (folder / "alertmanager.yaml").write_text(CONFIG)
    api = ApiSettings(database_url=f"sqlite:///{folder}/api.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEETPULSE_NOTIFY_CONFIG", str(folder / "alertmanager.yaml"))
        nowhere = "clickhouse://127.0.0.1:1/fleetpulse"
        with (
            make_context(api, settings, nowhere, SelfMetrics(), SystemClock()) as context,
            serving(create_app(context, folder / "page")) as url,
        ):
            eventually(lambda: len(context.alerts.active()) == 3, 30)
            yield url
