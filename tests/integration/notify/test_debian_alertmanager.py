"""Debian's Alertmanager and ours: the same configuration and alerts give the same webhooks; it takes our alerts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetpulse.clock import SystemClock
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Forward, Integration
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from fleetpulse.notify.payload import webhook_body
from stream_processors.notify.channels import Channels
from stream_processors.notify.guard import Guard
from tests.support.debian_alertmanager import alertmanager, asked, compared
from tests.support.eventually import eventually
from tests.support.notifying import config_of, firing, resolved
from tests.support.webhooks import receiver_of

pytestmark = [pytest.mark.servers, pytest.mark.debian("prometheus-alertmanager")]

CONFIG = """\
route:
  receiver: page
  group_by: [alertname, rack]
  group_wait: 2s # which Alertmanager counts from the start of an alert
  group_interval: 1s
  routes:
    - matchers: ['severity=~"critical|page"']
      receiver: oncall
      continue: true
    - match: {{alertname: Slow}}
      receiver: slow
      group_by: ['...']
receivers:
  - name: page
  - name: oncall
    webhook_configs: [{{url: '{url}/oncall'}}]
  - name: slow
    webhook_configs: [{{url: '{url}/slow'}}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [instance]
"""

EVERYTHING = """\
route: {receiver: am, group_wait: 0s, group_interval: 1s}
receivers: [{name: am, webhook_configs: [{url: 'http://x'}]}]
"""


def forwarded(notifier: Notifier, url: str, now_ms: int) -> None:
    """Everything that is due, to another Alertmanager."""
    channels = Channels(Guard("127.0.0.0/8"), "", "http://page.example.org", "", SystemClock())
    for made in notifier.due(now_ms):
        there = replace(made, integration=Integration("am", 0, Forward(url), True, 1))
        assert channels.send(there) == (Outcome.DELIVERED, "")
        notifier.settle(made, Outcome.DELIVERED, now_ms)


def body_of(made: Notification) -> dict[str, Any]:
    return compared(json.loads(webhook_body(made, "", 0)))


def sorted_bodies(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(bodies, key=lambda body: json.dumps(body, sort_keys=True))


def test_the_same_webhooks_and_ends(tmp_path: Path) -> None:
    with receiver_of() as receiver:
        config = CONFIG.format(url=receiver.url)
        with alertmanager(tmp_path, config) as url:
            now = SystemClock().now_ms()
            alerts: list[Alert] = [
                firing("Hot", "web-1", now, rack="r1"),
                firing("Hot", "web-2", now, rack="r1"),
                firing("Hot", "db-1", now, rack="r2"),
                firing("Slow", "web-1", now, severity="warning"),  # inhibited by web-1's critical alert
                firing("Slow", "web-3", now, severity="warning"),
            ]
            ours = Notifier(config_of(config))
            for alert in alerts:
                ours.take_event(alert)
            expected = ours.due(now + 3000)
            for made in expected:
                ours.settle(made, Outcome.DELIVERED, now + 3000)
            sender = Notifier(config_of(EVERYTHING))
            for alert in alerts:
                sender.take_event(alert)
            forwarded(sender, url, now)
            eventually(lambda: len(receiver.accepted) == len(expected) == 3, 30)
            got = [compared(item.body) for item in receiver.accepted]
            assert sorted_bodies(got) == sorted_bodies([body_of(made) for made in expected])
            shown = asked(f"{url}/api/v2/alerts")
            assert {
                alert["labels"]["instance"]: alert["status"]["state"]
                for alert in shown
                if alert["labels"]["alertname"] == "Slow"
            } == {
                "web-1": "suppressed",
                "web-3": "active",
            }
            end = resolved("Hot", "db-1", now + 1, start_ms=now, rack="r2")
            ours.take_event(end)
            sender.take_event(end)
            (told,) = ours.due(now + 9000)
            forwarded(sender, url, now + 9000)
            eventually(lambda: len(receiver.accepted) == 4, 30)
            assert compared(receiver.accepted[3].body) == body_of(told)
