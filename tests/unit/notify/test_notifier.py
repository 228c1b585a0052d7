"""Who hears what, and when: the notifier with a clock of the test's, over restarts, failures and catching up."""

import json

from fleetpulse.notify.config import Config
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from fleetpulse.notify.payload import forward_body, text, title, webhook_body
from fleetpulse.promql.syntax import Matcher
from tests.support.notifying import MINUTE, T0, config_of, firing, resolved, silence_of

SECOND = 1000
ONE = """\
route: {receiver: oncall, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 1h}
receivers: [{name: oncall, webhook_configs: [{url: 'http://x/'}]}]
"""
BY_SEVERITY = """\
route:
  receiver: low
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  routes: [{matchers: [severity=critical], receiver: high}]
receivers:
  - {name: low, webhook_configs: [{url: 'http://x/low'}]}
  - {name: high, webhook_configs: [{url: 'http://x/high'}]}
"""


class World:
    """A notifier whose state records are kept as on the compacted topic, and which can be restarted."""

    def __init__(self, text: str = ONE) -> None:
        self.config: Config = config_of(text)
        self.records: dict[bytes, bytes] = {}
        self.notifier = Notifier(self.config)

    def save(self) -> None:
        for key, value in self.notifier.changes():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value

    def restart(self, now_ms: int) -> None:
        self.notifier = Notifier(self.config)
        self.notifier.restore(self.records.items(), now_ms)
        self.save()

    def due(self, now_ms: int) -> list[Notification]:
        found = self.notifier.due(now_ms)
        self.save()
        return found

    def settle(self, notification: Notification, outcome: Outcome, now_ms: int) -> None:
        self.notifier.settle(notification, outcome, now_ms)
        self.save()

    def told(self, now_ms: int) -> list[tuple[str, list[str], list[str]]]:
        """What is delivered at a time: receiver, hosts that fire, hosts that have recovered."""
        said = []
        for notification in self.due(now_ms):
            self.settle(notification, Outcome.DELIVERED, now_ms)
            said.append(said_by(notification))
        return sorted(said)


def said_by(notification: Notification) -> tuple[str, list[str], list[str]]:
    what = notification.what
    hosts = (sorted(alert.host for alert in what.firing), sorted(alert.host for alert in what.resolved))
    return notification.integration.receiver, *hosts


def test_wait_interval_and_repeat() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    world.notifier.take_event(firing("Hot", "b", T0 + 5 * SECOND))
    assert world.told(T0 + 9 * SECOND) == []
    assert world.notifier.next_ms() == T0 + 10 * SECOND
    assert world.told(T0 + 10 * SECOND) == [("oncall", ["a", "b"], [])]
    world.notifier.take_event(firing("Hot", "c", T0 + 20 * SECOND))
    assert world.told(T0 + 69 * SECOND) == []
    assert world.told(T0 + 70 * SECOND) == [("oncall", ["a", "b", "c"], [])]
    assert world.told(T0 + 130 * SECOND) == [], "nothing new"
    world.notifier.take_event(resolved("Hot", "b", T0 + 140 * SECOND, T0 + 5 * SECOND))
    assert world.told(T0 + 190 * SECOND) == [("oncall", ["a", "c"], ["b"])]
    times = [T0 + 190 * SECOND + minute * MINUTE for minute in range(1, 130)]
    repeated = [at for at in times if world.told(at)]
    assert [(at - T0) // MINUTE for at in repeated] == [63, 123]


def test_the_end_is_told_once_and_then_all_is_forgotten() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    world.told(T0 + 10 * SECOND)
    world.notifier.take_event(resolved("Hot", "a", T0 + 30 * SECOND))
    assert world.told(T0 + 70 * SECOND) == [("oncall", [], ["a"])]
    assert world.told(T0 + 130 * SECOND) == []
    assert world.notifier.groups == {}
    world.notifier.take_event(firing("Hot", "a"))
    assert world.told(T0 + 200 * SECOND) == [], "an event that comes again is no news"
    world.notifier.forget_old(T0 + 60 * MINUTE)
    world.save()
    assert world.records == {}


def test_what_ends_before_it_is_told_is_not_told() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    world.notifier.take_event(resolved("Hot", "a", T0 + 5 * SECOND))
    assert world.told(T0 + 10 * SECOND) == []
    assert world.notifier.groups == {}


def test_a_failing_receiver_is_tried_again_under_the_same_key_with_growing_pauses() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    now, keys, pauses = T0 + 10 * SECOND, [], []
    for _ in range(5):
        (attempt,) = world.due(now)
        keys.append(attempt.key)
        assert world.due(now) == [], "one attempt at a time"
        world.settle(attempt, Outcome.FAILED, now)
        due = world.notifier.next_ms()
        assert due is not None
        pauses.append(due - now)
        now = due
    assert len(set(keys)) == 1
    assert pauses == [1000, 2000, 4000, 8000, 16000]
    assert world.notifier.failing() == {"oncall/webhook/0": 1}
    (attempt,) = world.due(now)
    assert attempt.key == keys[0]
    assert attempt.attempt == 6
    world.settle(attempt, Outcome.DELIVERED, now)
    assert world.notifier.failing() == {}


def test_an_alert_that_ends_while_the_receiver_is_away_is_told_only_when_it_may_have_heard() -> None:
    told: list[tuple[str, list[str], list[str]]] = [("oncall", [], ["a"])]
    for outcome, expected in ((Outcome.FAILED, []), (Outcome.UNSURE, told)):
        world = World()
        world.notifier.take_event(firing("Hot", "a"))
        (attempt,) = world.due(T0 + 10 * SECOND)
        world.settle(attempt, outcome, T0 + 10 * SECOND)
        world.notifier.take_event(resolved("Hot", "a", T0 + 10 * SECOND + 1))
        assert world.told(T0 + 11 * SECOND) == expected
        assert world.told(T0 + 90 * SECOND) == []
        assert world.notifier.failing() == {}
        assert world.notifier.groups == {}


def test_what_fires_again_while_its_end_may_have_been_heard_is_told_again() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    world.told(T0 + 10 * SECOND)
    world.notifier.take_event(resolved("Hot", "a", T0 + 60 * SECOND))
    (end,) = world.due(T0 + 70 * SECOND)
    world.settle(end, Outcome.UNSURE, T0 + 70 * SECOND)
    world.notifier.take_event(firing("Hot", "a", T0 + 70 * SECOND + 1))
    assert world.told(T0 + 71 * SECOND) == [("oncall", ["a"], [])]


def test_a_crash_between_sending_and_recording_repeats_one_notification_under_its_key() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    (first,) = world.due(T0 + 10 * SECOND)
    world.restart(T0 + 15 * SECOND)
    (again,) = world.due(T0 + 15 * SECOND)
    assert again.key == first.key
    world.settle(again, Outcome.DELIVERED, T0 + 15 * SECOND)
    world.restart(T0 + 20 * SECOND)
    assert world.due(T0 + 70 * SECOND) == []
    world.notifier.take_event(resolved("Hot", "a", T0 + 80 * SECOND))
    world.restart(T0 + 90 * SECOND)
    assert world.told(T0 + 131 * SECOND) == [], "the event was not saved: it comes again from the topic"
    world.notifier.take_event(resolved("Hot", "a", T0 + 80 * SECOND))
    world.save()
    world.restart(T0 + 140 * SECOND)
    assert world.told(T0 + 200 * SECOND) == [("oncall", [], ["a"])]


def test_after_a_crash_what_no_longer_holds_is_not_sent_again() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    (first,) = world.due(T0 + 10 * SECOND)
    world.restart(T0 + 15 * SECOND)
    world.notifier.take_event(resolved("Hot", "a", T0 + 12 * SECOND))
    (second,) = world.due(T0 + 20 * SECOND)
    assert said_by(second) == ("oncall", [], ["a"])
    assert second.key != first.key


def test_catching_up_tells_only_what_still_holds_and_says_that_it_is_late() -> None:
    world = World()
    for alert in (firing("Hot", "a"), firing("Hot", "b"), resolved("Hot", "b", T0 + 5 * MINUTE)):
        world.notifier.take_event(alert)
    (late,) = world.due(T0 + 60 * MINUTE)
    assert said_by(late) == ("oncall", ["a"], [])
    assert late.delayed
    assert title(late) == "[FIRING:1] Hot a (delayed)"
    assert "delayed" in text(late, "http://page/")
    world.settle(late, Outcome.DELIVERED, T0 + 60 * MINUTE)
    world.notifier.take_event(firing("Hot", "c", T0 + 60 * MINUTE + 30 * SECOND))
    (timely,) = world.due(T0 + 61 * MINUTE)
    assert not timely.delayed


def test_a_silence_keeps_quiet_until_it_ends_but_not_the_end() -> None:
    world = World()
    world.notifier.take_silence("s", silence_of("s", {"instance": "b"}, T0, T0 + 5 * MINUTE))
    for host in "ab":
        world.notifier.take_event(firing("Hot", host))
    assert world.told(T0 + 10 * SECOND) == [("oncall", ["a"], [])]
    assert world.told(T0 + 4 * MINUTE + 10 * SECOND) == []
    assert world.told(T0 + 5 * MINUTE + 10 * SECOND) == [("oncall", ["a", "b"], [])]
    world.notifier.take_silence("t", silence_of("t", {"alertname": "Hot"}, T0, T0 + 60 * MINUTE))
    world.notifier.take_event(resolved("Hot", "b", T0 + 6 * MINUTE))
    assert world.told(T0 + 7 * MINUTE + 10 * SECOND) == [("oncall", [], ["b"])]


def test_a_changed_severity_moves_an_alert_to_the_receivers_of_its_new_one() -> None:
    world = World(BY_SEVERITY)
    world.notifier.take_event(firing("Hot", "a", severity="warning"))
    assert world.told(T0 + 10 * SECOND) == [("low", ["a"], [])]
    world.notifier.take_event(firing("Hot", "a", T0 + 20 * SECOND, number=2))
    world.save()
    world.restart(T0 + 25 * SECOND)
    assert world.told(T0 + 30 * SECOND) == [("high", ["a"], [])]
    assert world.told(T0 + 90 * SECOND) == [("low", [], ["a"])]
    world.notifier.take_event(resolved("Hot", "a", T0 + 100 * SECOND, number=3))
    assert world.told(T0 + 150 * SECOND) == [("high", [], ["a"])]
    assert world.notifier.groups == {}


def test_a_changed_severity_is_told_where_one_route_takes_both() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a", severity="warning"))
    world.told(T0 + 10 * SECOND)
    world.notifier.take_event(firing("Hot", "a", T0 + 20 * SECOND, number=2))
    assert world.told(T0 + 70 * SECOND) == [("oncall", ["a"], [])]


def test_receivers_that_want_no_end_are_not_told_it_and_receivers_without_integrations_keep_nothing() -> None:
    world = World(ONE.replace("{url: 'http://x/'}", "{url: 'http://x/', send_resolved: false}"))
    world.notifier.take_event(firing("Hot", "a"))
    world.told(T0 + 10 * SECOND)
    world.notifier.take_event(resolved("Hot", "a", T0 + 20 * SECOND))
    assert world.told(T0 + 70 * SECOND) == []
    assert world.notifier.groups == {}
    silent = World("route: {receiver: page}\nreceivers: [{name: page}]\n")
    silent.notifier.take_event(firing("Hot", "a"))
    assert silent.told(T0 + MINUTE) == []
    silent.notifier.take_event(resolved("Hot", "a", T0 + MINUTE))
    assert silent.told(T0 + 20 * MINUTE) == []
    assert silent.notifier.groups == {}


def test_a_muted_route_waits_for_the_end_of_its_interval() -> None:
    # T0 is 2027-01-15 08:00 UTC.
    routes = "receiver: page, routes: [{receiver: oncall, mute_time_intervals: [early]}], "
    intervals = "time_intervals: [{name: early, time_intervals: [{times: [{start_time: '08:00', end_time: '08:05'}]}]}]"
    receivers = ONE.replace("receiver: oncall, ", routes).replace("receivers: [", "receivers: [{name: page}, ")
    world = World(receivers + intervals)
    world.notifier.take_event(firing("Hot", "a"))
    seconds = [second for second in range(10, 600, 60) if world.told(T0 + second * SECOND)]
    assert seconds == [310]


def test_another_configuration_tells_its_own_receivers() -> None:
    world = World()
    world.notifier.take_event(firing("Hot", "a"))
    world.told(T0 + 10 * SECOND)
    world.config = config_of(BY_SEVERITY)
    world.restart(T0 + MINUTE)
    assert world.told(T0 + 2 * MINUTE) == [("high", ["a"], [])]
    assert len([key for key in world.records if key.startswith(b"group/")]) == 1


def test_the_webhook_body_is_alertmanagers() -> None:
    world = World()
    for host in "ab":
        world.notifier.take_event(firing("Hot", host, rack="r1"))
    world.told(T0 + 10 * SECOND)
    world.notifier.take_event(resolved("Hot", "b", T0 + 20 * SECOND, rack="r1"))
    (notification,) = world.due(T0 + 70 * SECOND)
    body = json.loads(webhook_body(notification, "http://page/", 1))
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "oncall")
    assert body["groupKey"] == '{}:{alertname="Hot"}'
    assert body["groupLabels"] == {"alertname": "Hot"}
    assert body["commonLabels"] == {"alertname": "Hot", "severity": "critical", "rack": "r1"}
    assert (body["commonAnnotations"], body["externalURL"], body["truncatedAlerts"]) == ({}, "http://page/", 1)
    (first,) = body["alerts"]
    assert (first["status"], first["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert body["notificationKey"] == notification.key
    forwarded = json.loads(forward_body(notification))
    assert [alert["labels"]["instance"] for alert in forwarded] == ["a", "b"]
    assert forwarded[0]["endsAt"] > "2027-01-15T09:30"
    assert forwarded[1]["endsAt"] == "2027-01-15T08:00:20.000Z"
    assert "Firing:\n- Hot (critical) since" in text(notification, "")
    assert "Resolved:\n- Hot (critical) from" in text(notification, "")


def test_matchers_see_the_host_also_of_series_without_that_label() -> None:
    assert Matcher("host", "=", "a").matches(firing("Hot", "a").match_labels["host"])
