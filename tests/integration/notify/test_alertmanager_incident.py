"""One incident told twice: by our own stages, and by Debian's Alertmanager to which the same alerts are forwarded.

Both send webhooks to one receiver of the test, where they are counted and compared one by one.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetpulse.clock import SystemClock, to_rfc3339
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Forward, Integration
from fleetpulse.notify.notifier import Notifier, Outcome
from stream_processors.notify.channels import Channels
from stream_processors.notify.guard import Guard
from tests.support.debian_alertmanager import alertmanager, compared
from tests.support.notifying import config_of, firing, resolved, silence_of
from tests.support.patience import patient
from tests.support.webhooks import Receiver, receiver_of

pytestmark = [pytest.mark.servers, pytest.mark.debian("prometheus-alertmanager")]

CONFIG = """\
route:
  receiver: team
  group_by: [alertname]
  group_wait: 2s # which Alertmanager counts from the start of an alert
  group_interval: 1500ms
  repeat_interval: 1h
  routes:
    - matchers: [alertname="Watchdog"]
      receiver: heartbeat
      repeat_interval: 1s
receivers:
  - name: team
    webhook_configs: [{{url: '{url}'}}]
  - name: heartbeat
    webhook_configs: [{{url: '{url}'}}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [instance]
"""
EVERYTHING = """\
route: {receiver: am, group_wait: 0s, group_interval: 100ms}
receivers: [{name: am, webhook_configs: [{url: 'http://x'}]}]
"""
SIDES = ("/ours", "/alertmanager")
Said = tuple[str, list[str], list[str]]


class Both:
    """Our stages, and what forwards to Alertmanager, both on the real clock and each to its path of the receiver."""

    def __init__(self, receiver: Receiver, alertmanager_url: str) -> None:
        self.receiver, self.alertmanager_url = receiver, alertmanager_url
        self.clock = SystemClock()
        self.channels = Channels(Guard("127.0.0.0/8"), "", "http://page.example.org", "", self.clock)
        self.ours = Notifier(config_of(CONFIG.format(url=f"{receiver.url}/ours")))
        self.sender = Notifier(config_of(EVERYTHING))
        self.seen = dict.fromkeys(SIDES, 0)

    def take(self, *alerts: Alert) -> None:
        """The same alerts to both."""
        for alert in alerts:
            self.ours.take_event(alert)
            self.sender.take_event(alert)

    def step(self) -> None:
        """Send what is due."""
        for notifier, forward in ((self.sender, Forward(self.alertmanager_url)), (self.ours, None)):
            now_ms = self.clock.now_ms()
            for made in notifier.due(now_ms):
                sent = replace(made, integration=Integration("am", 0, forward, True, 1)) if forward else made
                assert self.channels.send(sent) == (Outcome.DELIVERED, "")
                notifier.settle(made, Outcome.DELIVERED, self.clock.now_ms())

    def bodies(self, side: str, receiver: str) -> list[dict[str, Any]]:
        """What came from one side for one receiver, in order."""
        found = [compared(got.body) for got in list(self.receiver.accepted) if got.path == side]
        return [body for body in found if body["receiver"] == receiver]

    def until(self, holds: Callable[[], bool]) -> None:
        """Go on until something holds."""
        end = time.monotonic() + patient(60.0)
        while not holds():
            assert time.monotonic() < end, [(got.path, got.said) for got in self.receiver.accepted]
            self.step()
            time.sleep(0.02)

    def told(self, *groups: Said) -> None:
        """Both tell exactly this next: alert name, hosts that fire, hosts that have recovered."""
        wanted = sorted(groups)
        self.until(lambda: all(len(self._news(side)) >= len(wanted) for side in SIDES))
        ours, theirs = (self._news(side) for side in SIDES)
        assert sorted(said(body) for body in ours) == sorted(said(body) for body in theirs) == wanted
        assert in_order(ours) == in_order(theirs), "each field of the payload, beside what they fire"
        for side in SIDES:
            self.seen[side] += len(wanted)

    def _news(self, side: str) -> list[dict[str, Any]]:
        return self.bodies(side, "team")[self.seen[side] :]


def said(body: dict[str, Any]) -> Said:
    hosts: dict[str, list[str]] = {"firing": [], "resolved": []}
    for alert in body["alerts"]:
        hosts[alert["status"]].append(alert["labels"]["instance"])
    return body["groupLabels"]["alertname"], sorted(hosts["firing"]), sorted(hosts["resolved"])


def in_order(bodies: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


@contextmanager
def silenced(url: str, host: str, now_ms: int) -> Iterator[None]:
    """A silence in Alertmanager, expired at the end."""
    matchers = [{"name": "instance", "value": host, "isRegex": False, "isEqual": True}]
    times = {"startsAt": to_rfc3339(now_ms - 1000), "endsAt": to_rfc3339(now_ms + 3_600_000)}
    body = {"matchers": matchers, **times, "createdBy": "ada", "comment": "a test"}
    request = urllib.request.Request(f"{url}/api/v2/silences", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        identity = json.load(answer)["silenceID"]
    yield
    gone = urllib.request.Request(f"{url}/api/v2/silence/{identity}", method="DELETE")
    urllib.request.urlopen(gone, timeout=30).close()


def test_an_incident_is_told_alike_one_by_one(tmp_path: Path) -> None:
    with (
        receiver_of() as receiver,
        alertmanager(tmp_path, CONFIG.format(url=f"{receiver.url}/alertmanager")) as url,
    ):
        both = Both(receiver, url)
        now = both.clock.now_ms()
        both.ours.take_silence("s", silence_of("s", {"instance": "db-9"}, now - 1000, now + 3_600_000))
        with silenced(url, "db-9", now):
            start = both.clock.now_ms()
            both.take(
                firing("Watchdog", "up-1", start, severity="none"),
                firing("Hot", "web-1", start),
                firing("Hot", "web-2", start),
                firing("Hot", "db-9", start),  # silenced
                firing("Slow", "web-1", start, severity="warning"),  # inhibited by Hot on web-1
                firing("Slow", "web-3", start, severity="warning"),
            )
            both.told(("Hot", ["web-1", "web-2"], []), ("Slow", ["web-3"], []))
            both.take(resolved("Hot", "web-1", both.clock.now_ms(), start_ms=start))  # and inhibits no longer
            both.told(("Hot", ["web-2"], ["web-1"]), ("Slow", ["web-1", "web-3"], []))
        both.ours.take_silence("s", None)
        both.told(("Hot", ["db-9", "web-2"], []))
        now = both.clock.now_ms()
        both.take(firing("Hot", "web-4", now), resolved("Hot", "web-2", now, start_ms=start))
        both.told(("Hot", ["db-9", "web-4"], ["web-2"]))
        now_ms = both.clock.now_ms()
        both.take(
            resolved("Hot", "web-4", now_ms, start_ms=now),
            resolved("Slow", "web-1", now_ms, start_ms=start, severity="warning"),
        )
        both.told(("Hot", ["db-9"], ["web-4"]), ("Slow", ["web-3"], ["web-1"]))
        both.until(lambda: all(len(both.bodies(side, "heartbeat")) >= 3 for side in SIDES))  # repeated
        now_ms = both.clock.now_ms()
        both.take(
            resolved("Hot", "db-9", now_ms, start_ms=start),
            resolved("Slow", "web-3", now_ms, start_ms=start, severity="warning"),
            resolved("Watchdog", "up-1", now_ms, start_ms=start, severity="none"),
        )
        both.told(("Hot", [], ["db-9"]), ("Slow", [], ["web-3"]))
        both.until(lambda: all(both.bodies(side, "heartbeat")[-1]["status"] == "resolved" for side in SIDES))
        for side in SIDES:
            *repeats, end = both.bodies(side, "heartbeat")
            assert [said(body) for body in repeats] == [("Watchdog", ["up-1"], [])] * len(repeats)
            assert said(end) == ("Watchdog", [], ["up-1"])
            assert len(both.bodies(side, "team")) == both.seen[side] == 10, "and nothing more"
