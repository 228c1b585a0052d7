"""The configuration file: what it gives, and that each complaint has its line and remedy."""

from pathlib import Path

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.notify.config import Email, Forward, Webhook
from fleetpulse.notify.load import load
from tests.support.notifying import config_of

WHOLE = """\
global:
  resolve_timeout: 5m
  smtp_smarthost: mail.example.org:587
  smtp_from: fleet@example.org
  smtp_auth_username: fleet
  smtp_auth_password_file: password
templates: ['*.tmpl']
route:
  receiver: page
  group_by: [alertname]
  group_wait: 10s
  routes:
    - matchers: ['severity="critical"']
      receiver: oncall
      group_by: ['...']
      continue: true
    - match: {team: db}
      match_re: {env: prod|stage}
      receiver: db
      repeat_interval: 1d
      mute_time_intervals: [night]
receivers:
  - name: page
  - name: oncall
    webhook_configs:
      - url: https://hooks.example.org/T0KEN
        max_alerts: 5
        hmac_secret: s3cret
        http_config: {authorization: {credentials: tok}, follow_redirects: true}
      - {url_file: hook, send_resolved: false}
    alertmanager_configs:
      - url: http://alertmanager.example.org:9093/
    apprise_configs:
      - url: slack://a/b/c
  - name: db
    email_configs:
      - to: dba@example.org, oncall@example.org
        headers: {X-Team: db}
inhibit_rules:
  - source_match: {severity: critical}
    target_match_re: {severity: warning|info}
    equal: [instance]
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: '00:00', end_time: '06:00'}]
        location: Europe/Berlin
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "hook").write_text("http://10.0.0.1/hook\n")
    (tmp_path / "notify.yaml").write_text(WHOLE)
    return tmp_path


def test_a_whole_file(folder: Path) -> None:
    config = load(folder / "notify.yaml")
    first, second = config.route.routes
    assert (first.group_by, first.group_wait_ms, first.goes_on) == (("...",), 10_000, True)
    assert (second.group_by, second.repeat_interval_ms, second.mute) == (("alertname",), 86_400_000, ("night",))
    assert second.key == '{}/{team="db",env=~"prod|stage"}'
    webhook, plain, forward, apprise = config.receivers["oncall"].integrations
    assert isinstance(webhook.channel, Webhook)
    assert (webhook.channel.max_alerts, webhook.channel.hmac_secret) == (5, "s3cret")
    assert webhook.channel.http.headers == {"Authorization": "Bearer tok"}
    assert isinstance(plain.channel, Webhook)
    assert (plain.channel.url, plain.send_resolved, plain.name) == ("http://10.0.0.1/hook", False, "oncall/webhook/1")
    assert isinstance(forward.channel, Forward)
    assert forward.channel.url == "http://alertmanager.example.org:9093"
    assert apprise.kind == "apprise"
    (mail,) = config.receivers["db"].integrations
    assert isinstance(mail.channel, Email)
    assert mail.channel.to == ("dba@example.org", "oncall@example.org")
    assert (mail.channel.host, mail.channel.port, mail.channel.password) == ("mail.example.org", 587, "hunter2")
    assert not mail.send_resolved
    assert [rule.equal for rule in config.inhibit_rules] == [("host",), ("instance",)]
    lines = [int(note.removeprefix(f"{folder}/notify.yaml:").partition(":")[0]) for note in config.notes]
    assert sorted(lines) == [2, 7, 29]


def test_secrets_are_never_shown(folder: Path) -> None:
    config = load(folder / "notify.yaml")
    for secret in ("T0KEN", "s3cret", "credentials: tok", "slack://", "hunter2"):
        assert secret not in config.original
    shown = repr(config.receivers) + repr(config.route)
    assert not [secret for secret in ("T0KEN", "s3cret", "Bearer", "slack://", "hunter2") if secret in shown]
    assert "max_alerts: 5" in config.original
    assert "receiver: oncall" in config.original


MINIMAL = "route: {receiver: a}\nreceivers: [{name: a}]\n"


def routed(fields: str) -> str:
    return f"route:\n  receiver: a\n  {fields}\nreceivers: [{{name: a}}]\n"


def received(fields: str) -> str:
    return f"route: {{receiver: a}}\nreceivers:\n- name: a\n  {fields}\n"


def interval(fields: str) -> str:
    return f"{MINIMAL}time_intervals:\n- name: n\n  time_intervals: [{{{fields}}}]\n"


INHIBIT = MINIMAL + "inhibit_rules:\n- equal: [x]\n"
MAIL = "email_configs: [{to: x@y, from: z, smarthost: "
NEAREST = "there is no receiver 'ab'; did you mean 'abc'?"
SLACK = "'slack_configs': is not supported (receiver 'a'); use apprise_configs: [{url: 'slack://…'}]"
WRONG: list[tuple[str, str]] = [
    ("", "1: the file is empty"),
    ("route: [", "not YAML"),
    ("receivers: [{name: a}]\n", "'route' is missing"),
    (MINIMAL + "rout: {}\n", "3: the file: unknown field 'rout'; did you mean 'route'?"),
    ("route:\n  receiver: ab\nreceivers: [{name: abc}]\n", f"2: route: field 'receiver': {NEAREST}"),
    (routed("matchers: [x=y]"), "3: the root route: field 'matchers': is not for the root route"),
    (routed("routes: [{matchers: ['x=~(']}]"), "regular expression '('"),
    (routed("group_wait: soon"), "3: route: field 'group_wait': 'soon' is not a duration"),
    (routed("group_interval: 0s"), "must be greater than 0"),
    (routed("group_by: [x, '...']"), "stands for all labels"),
    (routed("routes: [{mute_time_intervals: [n]}]"), "no time interval 'n'"),
    (INHIBIT, "4: inhibit rule: 'source_matchers' and 'target_matchers' are both needed"),
    (MINIMAL + "global: {http_config: {}}\n", "'http_config': is not supported"),
    (interval("weekdays: [noday]"), "5: time interval: field 'weekdays': 'noday'"),
    (interval("location: Mars/Base"), "no time zone 'Mars/Base'"),
    ("route: {receiver: a}\nreceivers:\n- name: a\n- name: a\n", "4: receiver 'a' is in the file twice"),
    (received("slack_configs: [{}]"), f"4: receiver: field {SLACK}"),
    (received("webhook_configs: [{url: ftp://x/}]"), "field 'url': an address as https://host/path is needed"),
    (received("webhook_configs: [{url_file: gone}]"), "the file 'gone' cannot be read"),
    (received("email_configs: [{to: x@y}]"), "4: email_configs of receiver 'a': field 'from': is missing"),
    (received(MAIL + "h}]"), "'h' is not host:port"),
    (received(MAIL + "'h:25', html: '{{ .x }}'}]"), "'html': is not supported"),
    (received("webhook_configs: [{url: 'http://x', http_config: {oauth2: {}}}]"), "'oauth2': is not supported"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG)
def test_what_is_wrong_is_said_with_its_line_and_remedy(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        config_of(text)
    assert complaint in str(raised.value)
    assert all(line.startswith("notify.yaml:") for line in str(raised.value).splitlines())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: no such file"):
        load(tmp_path / "nowhere.yaml")
