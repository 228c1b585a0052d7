"""The channels against real peers in this process: signed webhooks, mail, apprise; what fails, hangs or refuses."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from fleetpulse.clock import ManualClock
from fleetpulse.notify.config import Apprise, Channel, Email, Integration, Webhook
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from infra.embedded.ports import free_port
from stream_processors.notify import apprise_call
from stream_processors.notify.channels import Channels
from stream_processors.notify.guard import Guard
from stream_processors.notify.mail import message_of
from tests.support.notifying import MINUTE, T0, config_of, firing, resolved
from tests.support.webhooks import Receiver, receiver_of

LOCAL = "127.0.0.0/8"
CONFIG = "route: {receiver: a, group_wait: 0s}\nreceivers: [{name: a, webhook_configs: [{url: 'http://x/'}]}]\n"


def notification(channel: Channel, end: bool = False) -> Notification:
    notifier = Notifier(config_of(CONFIG))
    notifier.take_event(firing("Hot", "web-1"))
    (made,) = notifier.due(T0)
    if end:
        notifier.settle(made, Outcome.DELIVERED, T0)
        notifier.take_event(resolved("Hot", "web-1", T0 + MINUTE))
        (made,) = notifier.due(T0 + 10 * MINUTE)
    return replace(made, integration=Integration("a", 0, channel, True, 1))


def channels(allow: str = LOCAL, secret: str = "") -> Channels:
    return Channels(Guard(allow), allow, "http://page.example.org", secret, ManualClock(T0))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_of() as receiver:
        yield receiver


def test_a_webhook_is_signed_over_time_and_body(receiver: Receiver) -> None:
    told = notification(Webhook(receiver.url))
    assert channels(secret="s3cret").send(told) == (Outcome.DELIVERED, "")
    (got,) = receiver.accepted
    seconds, digest = (part.partition("=")[2] for part in got.headers["X-Fleetpulse-Signature"].split(","))
    expected = hmac.new(b"s3cret", seconds.encode() + b"." + got.raw, hashlib.sha256).hexdigest()
    assert (seconds, digest) == (str(T0 // 1000), expected)
    assert got.key == told.key == got.body["notificationKey"]
    own = notification(Webhook(receiver.url, hmac_secret="other"))
    channels(secret="s3cret").send(own)
    assert receiver.accepted[1].headers["X-Fleetpulse-Signature"] != got.headers["X-Fleetpulse-Signature"]
    channels().send(told)
    assert "X-Fleetpulse-Signature" not in receiver.accepted[2].headers


@pytest.mark.parametrize(
    ("status", "expected"),
    [(202, "delivered"), (302, "refused"), (400, "refused"), (404, "refused"), (429, "failed"), (500, "unsure")],
)
def test_what_a_status_means(receiver: Receiver, status: int, expected: str) -> None:
    receiver.status = status
    outcome, why = channels().send(notification(Webhook(receiver.url)))
    assert outcome.value == expected
    assert (str(status) in why) == (expected != "delivered")


def test_nobody_there_a_forbidden_address_and_silence_are_told_apart(receiver: Receiver) -> None:
    assert channels().send(notification(Webhook("http://127.0.0.1:1/")))[0] is Outcome.FAILED
    outcome, why = channels(allow="").send(notification(Webhook(receiver.url)))
    assert outcome is Outcome.REFUSED
    assert "FLEETPULSE_NOTIFY_ALLOW" in why
    receiver.holds = True
    assert channels().send(notification(Webhook(receiver.url, timeout_seconds=0.5)))[0] is Outcome.UNSURE


class Mailbox:
    """aiosmtpd's handler: keeps messages, or answers as it is told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.messages.append(envelope)
        return self.answer


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


def email(port: int, *to: str) -> Email:
    return Email(to or ("oncall@example.org",), "fleet@example.org", "127.0.0.1", port, require_tls=False)


def test_mail_says_what_fires_and_what_ended_and_carries_the_key() -> None:
    with mail_server() as (mailbox, port):
        told, ended = notification(email(port)), notification(email(port), end=True)
        assert channels().send(told) == (Outcome.DELIVERED, "")
        assert channels().send(ended) == (Outcome.DELIVERED, "")
        first, second = (envelope.content.decode() for envelope in mailbox.messages)
    assert "Subject: [FIRING:1] Hot web-1\r\n" in first
    assert f"Message-ID: <{told.key}@fleetpulse>\r\n" in first
    assert "- Hot (critical) since 2027-01-15T08:00:00.000Z" in first
    assert "Subject: [RESOLVED:1] Hot web-1 (delayed)" in second
    assert mailbox.messages[0].rcpt_tos == ["oncall@example.org"]


def test_mail_that_is_refused_put_off_or_has_one_wrong_recipient() -> None:
    with mail_server() as (mailbox, port):
        outcome, why = channels().send(notification(email(port, "nobody@example.org", "oncall@example.org")))
        assert (outcome, why) == (Outcome.DELIVERED, "refused recipients: nobody@example.org")
        assert channels().send(notification(email(port, "nobody@example.org")))[0] is Outcome.REFUSED
        mailbox.answer = "451 try later"
        assert channels().send(notification(email(port)))[0] is Outcome.FAILED
        mailbox.answer = "554 spam"
        assert channels().send(notification(email(port)))[0] is Outcome.REFUSED
        strict = replace(email(port), require_tls=True)
        assert channels().send(notification(strict))[0] is Outcome.FAILED, "a server without TLS gets no password"
        assert len(mailbox.messages) == 1
    assert channels().send(notification(email(1)))[0] is Outcome.FAILED
    assert channels(allow="").send(notification(email(port)))[0] is Outcome.REFUSED


def test_a_labels_line_break_makes_no_header() -> None:
    notifier = Notifier(config_of(CONFIG))
    notifier.take_event(firing("Hot\r\nBcc: all@example.org", "web-1"))
    (made,) = notifier.due(T0)
    message = message_of(made, email(25), "")
    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]


def test_apprise_tells_its_services_and_is_bounded_and_guarded(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = receiver.url.removeprefix("http://")
    json_url = Apprise(f"json://{address}/hook")
    assert channels().send(notification(json_url)) == (Outcome.DELIVERED, "")
    (got,) = receiver.accepted
    assert got.body["title"] == "[FIRING:1] Hot web-1"
    outcome, why = channels(allow="").send(notification(json_url))
    assert outcome is Outcome.REFUSED
    assert "not public" in why
    outcome, why = channels().send(notification(Apprise("nonsense://T0KEN/x")))
    assert (outcome, why) == (Outcome.REFUSED, "apprise does not understand the URL")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    receiver.status, receiver.location = 307, f"{receiver.url}/other"
    outcome, why = channels().send(notification(Apprise(f"json://{address}/T0KEN-PATH")))
    assert outcome is Outcome.UNSURE
    assert "T0KEN" not in why
    assert [got.path for got in receiver.attempts] == ["/hook", "/T0KEN-PATH"], "no proxy, and no redirect"
    receiver.status = 500
    assert channels().send(notification(json_url))[0] is Outcome.UNSURE
    assert len(receiver.accepted) == 1
    receiver.holds = True
    monkeypatch.setattr(apprise_call, "TIMEOUT_SECONDS", 0.5)
    begin = time.monotonic()
    assert channels().send(notification(json_url))[0] is Outcome.UNSURE
    assert time.monotonic() - begin < 30
