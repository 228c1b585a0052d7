"""An incident while receivers fail, hang and recover and notifiers are killed: what arrives is counted one by one."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from tests.integration.notify.test_notify_worker import START
from tests.support.eventually import eventually
from tests.support.notify_workers import notifier, now_ms, publish
from tests.support.notifying import event_of
from tests.support.running import Running
from tests.support.webhooks import Receiver, receiver_of

pytestmark = pytest.mark.servers

NAMES = ("Cold", "Hot", "Slow")
CONFIG = """\
route: {{receiver: oncall, group_by: [alertname], group_wait: 100ms, group_interval: 300ms, repeat_interval: 1h}}
receivers:
  - name: oncall
    webhook_configs: [{{url: '{url}/hook', timeout: 60s}}]
"""


def of_group(receiver: Receiver, name: str) -> list[tuple[str, str]]:
    """(status, key) of what a group's receiver took, in order."""
    return [
        (got.body["status"], got.key) for got in receiver.accepted if got.body["groupLabels"] == {"alertname": name}
    ]


def notifying(*workers: Running) -> Running | None:
    return next(
        (worker for worker in workers if "msg=notifying" in worker.log() and worker.process.poll() is None), None
    )


def test_an_incident(topics: KafkaSettings, tmp_path: Path) -> None:
    start, kills = now_ms(), 0
    with receiver_of() as receiver:
        config = CONFIG.format(url=receiver.url)
        receiver.status = 503
        publish(topics, [event_of(name, "web-1", start) for name in NAMES])
        with notifier(topics, tmp_path, config, "first") as first:
            eventually(lambda: len(receiver.attempts) >= 6, START)  # each group is tried again
            receiver.holds = True
            eventually(lambda: len(receiver.attempts) >= 9, START)  # and now hangs
            os.kill(first.pid, signal.SIGKILL)
            kills += 1
        assert receiver.accepted == []
        receiver.status, receiver.holds = 200, False
        receiver.released.set()
        with (
            notifier(topics, tmp_path, config, "second") as second,
            notifier(topics, tmp_path, config, "third") as third,
        ):
            eventually(lambda: len({got.key for got in receiver.accepted}) == len(NAMES), START)
            active = notifying(second, third)
            assert active is not None
            other = third if active is second else second
            assert notifying(other) is None, "one at a time"
            ends = [event_of(name, "web-1", now_ms(), number=2, status="resolved", start_ms=start) for name in NAMES]
            publish(topics, ends)
            os.kill(active.pid, signal.SIGKILL)  # while it tells of the ends, or just before, or just after
            kills += 1
            eventually(lambda: notifying(other), START)
            eventually(lambda: all("resolved" in dict(of_group(receiver, name)) for name in NAMES), START)
            assert other.stop(within=15.0) == 0
    for name in NAMES:
        told = of_group(receiver, name)
        assert [status for status, _ in dict.fromkeys(told)] == ["firing", "resolved"], "in order, one key each"
        assert max(Counter(told).values()) <= 1 + kills
    assert len(receiver.accepted) <= 2 * len(NAMES) + kills * len(NAMES)
