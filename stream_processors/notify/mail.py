"""Notifications by e-mail. The message's id carries the notification's key, so that a second copy is known as one."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime

from fleetpulse.clock import to_datetime
from fleetpulse.notify.config import Email
from fleetpulse.notify.notifier import Notification, Outcome
from fleetpulse.notify.payload import text, title
from stream_processors.notify.deadline import deadline
from stream_processors.notify.guard import Guard, NotSentError
from stream_processors.notify.request import UnsureError, tls_context

TIMEOUT_SECONDS = 20.0
IMPLICIT_TLS_PORT = 465


def send_mail(notification: Notification, email: Email, guard: Guard, external_url: str) -> tuple[Outcome, str]:
    """The outcome, and why it is not DELIVERED. Raises NotSentError or UnsureError."""
    message = message_of(notification, email, external_url)
    with _connected(email, guard) as client:
        try:
            refused = _envelope(client, email)
        except smtplib.SMTPResponseException as error:
            return _refusal(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            raise NotSentError(f"{email.host}: {error}") from error
        try:
            code, answer = client.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
        except smtplib.SMTPDataError as error:
            return _refusal(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            raise UnsureError(f"{email.host} did not say that it has the message: {error}") from error
        if code != 250:
            return _refusal(code, answer)
        return Outcome.DELIVERED, f"refused recipients: {', '.join(refused)}" if refused else ""


def message_of(notification: Notification, email: Email, external_url: str) -> EmailMessage:
    """The message."""
    message = EmailMessage()
    for name, value in email.headers.items():
        message[name] = value
    wanted = {
        "Subject": title(notification),
        "From": email.sender,
        "To": ", ".join(email.to),
        "Date": format_datetime(to_datetime(notification.at_ms)),
        "Message-ID": f"<{notification.key}@fleetpulse>",
        "X-Fleetpulse-Notification": notification.key,
        "Auto-Submitted": "auto-generated",
    }
    for name, value in wanted.items():
        if name not in message:
            message[name] = value
    message.set_content(text(notification, external_url))
    return message


class _Client(smtplib.SMTP):
    """SMTP over a connection that the guard has made."""

    def __init__(self, connection: socket.socket, email: Email) -> None:
        self._made = connection
        super().__init__(local_hostname=email.hello, timeout=TIMEOUT_SECONDS)
        self._host = _server_name(email)  # the name that TLS checks

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._made


@contextmanager
def _connected(email: Email, guard: Guard) -> Iterator[_Client]:
    raw = guard.connect(email.host, email.port, TIMEOUT_SECONDS)
    raw.settimeout(TIMEOUT_SECONDS)
    try:
        with deadline(raw, TIMEOUT_SECONDS):
            client = _greeted(raw, email)
            try:
                yield client
                with suppress(OSError, smtplib.SMTPException):
                    client.quit()
            finally:
                client.close()
    finally:
        raw.close()


def _greeted(raw: socket.socket, email: Email) -> _Client:
    context = tls_context(email.ca_file, email.verify)
    try:
        implicit = email.port == IMPLICIT_TLS_PORT
        client = _Client(context.wrap_socket(raw, server_hostname=_server_name(email)) if implicit else raw, email)
        code, greeting = client.connect(email.host, email.port)
        if code != 220:
            raise smtplib.SMTPResponseException(code, greeting)
        client.ehlo_or_helo_if_needed()
        if not implicit and (email.require_tls or client.has_extn("starttls")):
            client.starttls(context=context)
            client.ehlo()
        if email.username:
            client.login(email.username, email.password)
        return client
    except (OSError, ssl.SSLError, smtplib.SMTPException) as error:
        raise NotSentError(f"{email.host}:{email.port}: {error}") from error


def _server_name(email: Email) -> str:
    return email.server_name or email.host


def _envelope(client: _Client, email: Email) -> list[str]:
    code, answer = client.mail(email.sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, answer, email.sender)
    refused = []
    for recipient in email.to:
        code, answer = client.rcpt(recipient)
        if code not in (250, 251):
            refused.append(recipient)
    if len(refused) == len(email.to):
        raise smtplib.SMTPResponseException(code, answer)
    return refused


def _refusal(code: int, answer: bytes | str) -> tuple[Outcome, str]:
    said = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return (Outcome.REFUSED if code >= 500 else Outcome.FAILED), f"SMTP {code}: {' '.join(said.split())[:200]}"
