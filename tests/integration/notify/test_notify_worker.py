"""The notifier on Apache Kafka: each notification counted one by one at a plain HTTP receiver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from tests.support.eventually import eventually
from tests.support.notify_workers import notifier, now_ms, publish
from tests.support.notifying import event_of, silence_of
from tests.support.webhooks import Receiver, receiver_of

pytestmark = pytest.mark.servers

START = 40.0
CONFIG = """\
route: {{receiver: oncall, group_by: [alertname], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h}}
receivers: [{{name: oncall, webhook_configs: [{{url: '{url}/hook', timeout: 2s}}]}}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_of() as receiver:
        yield receiver


def said(receiver: Receiver) -> list[tuple[str, list[str], list[str]]]:
    return [got.said for got in receiver.accepted]


def test_firing_and_resolved_each_once_over_a_restart_and_never_what_was_aborted(
    topics: KafkaSettings, receiver: Receiver, tmp_path: Path
) -> None:
    config = CONFIG.format(url=receiver.url)
    start = now_ms()
    publish(topics, [event_of("Hot", "aborted", start)], abort=True)
    publish(topics, [event_of("Hot", "a", start)])
    with notifier(topics, tmp_path, config) as worker:
        eventually(lambda: said(receiver) == [("oncall", ["a"], [])], START)
        publish(topics, [event_of("Hot", "a", start)])  # comes again
        publish(topics, [event_of("Hot", "b", now_ms())], [silence_of("s", {"instance": "c"}, start)])
        eventually(lambda: len(receiver.accepted) == 2, START)
        publish(topics, [event_of("Hot", "c", now_ms())])
        assert worker.stop(within=10.0) == 0
    publish(topics, [event_of("Hot", "a", now_ms(), number=2, status="resolved", start_ms=start)])
    with notifier(topics, tmp_path, config) as worker:
        eventually(lambda: len(receiver.accepted) == 3, START)
        assert worker.stop(within=10.0) == 0
    assert said(receiver) == [("oncall", ["a"], []), ("oncall", ["a", "b"], []), ("oncall", ["b"], ["a"])]
    assert len({got.key for got in receiver.attempts}) == len(receiver.attempts) == 3
