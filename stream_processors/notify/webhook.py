"""Webhooks in Alertmanager's payload, signed, and forwarding to another Alertmanager.

Signature: ``X-Fleetpulse-Signature: t=<Unix seconds>,v1=<hex>``, where the hex is HMAC-SHA256, with the secret, of
``<t>.<body>``. A receiver computes it anew over the bytes that it got, and refuses a `t` that is old.
"""

import hashlib
import hmac

from fleetpulse.notify.config import Forward, Webhook
from fleetpulse.notify.notifier import Notification, Outcome
from fleetpulse.notify.payload import forward_body, webhook_body
from stream_processors.notify.guard import Guard
from stream_processors.notify.request import Answer, post

SIGNATURE = "X-Fleetpulse-Signature"
KEY = "Idempotency-Key"


def send_webhook(
    notification: Notification, webhook: Webhook, guard: Guard, external_url: str, secret: str, now_seconds: int
) -> tuple[Outcome, str]:
    """The outcome, and why it is not DELIVERED. Raises NotSentError or UnsureError."""
    body = webhook_body(notification, external_url, webhook.max_alerts)
    headers = {KEY: notification.key}
    if chosen := webhook.hmac_secret or secret:
        headers[SIGNATURE] = signature(chosen, body, now_seconds)
    return outcome_of(post(guard, webhook.url, body, headers, webhook.http, webhook.timeout_seconds))


def send_forward(notification: Notification, forward: Forward, guard: Guard) -> tuple[Outcome, str]:
    """The outcome, and why it is not DELIVERED. Raises NotSentError or UnsureError."""
    url = f"{forward.url}/api/v2/alerts"
    body, headers = forward_body(notification), {KEY: notification.key}
    return outcome_of(post(guard, url, body, headers, forward.http, forward.timeout_seconds))


def signature(secret: str, body: bytes, now_seconds: int) -> str:
    """The value of the header."""
    digest = hmac.new(secret.encode(), f"{now_seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now_seconds},v1={digest}"


def outcome_of(answer: Answer) -> tuple[Outcome, str]:
    """2xx: delivered. 5xx: nobody knows how far it came. 408, 425 and 429: not now. Others, redirects too: refused."""
    if 200 <= answer.status < 300:
        return Outcome.DELIVERED, ""
    text = " ".join(answer.text.split())[:200]
    why = f"HTTP {answer.status}{f': {text}' if text else ''}"
    if answer.status >= 500:
        return Outcome.UNSURE, why
    return (Outcome.FAILED if answer.status in (408, 425, 429) else Outcome.REFUSED), why
