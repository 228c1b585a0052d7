"""What no producer of ours would send reaches the rules worker; the hosts beside it keep their alerts."""

import time
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import Block, Frame, encode_frame, packed
from tests.support.alerting import alert_events, hosts_of_one_partition
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.rules_workers import rules_worker

pytestmark = pytest.mark.servers

RULES = """
groups: [{name: test, rules: [{alert: Hot, expr: test_value, warning: "> 80"}]}]
"""


def test_poison_and_times_that_ingest_refuses_are_passed_over(topics: KafkaSettings, tmp_path: Path) -> None:
    evil, ahead, good = hosts_of_one_partition(3, topics.partitions)
    now = int(time.time() * 1000)
    sender = FrameSender(topics)
    with rules_worker(topics, tmp_path, RULES, INGEST_MAX_FUTURE_SECONDS="60") as worker:
        for series in (b"\xff", b"{{{", b"up{"):
            frame = Frame(1, now, [Block(evil, {}, series, now, packed("d", [1.0]))])
            sender.send_raw(encode_frame(frame), partition=sender.partition_of(evil))
        sender.send(sender.block(evil, -(2**53), {"test_value": 99.0}))
        sender.send(sender.block(ahead, now + 300_000, {"test_value": 99.0}))
        sender.send(sender.block(good, now, {"test_value": 90.0}))
        sender.close()
        (event,) = eventually(lambda: alert_events(topics), 40.0)
        assert event.data.host == good
        assert worker.stop(within=10.0) == 0
