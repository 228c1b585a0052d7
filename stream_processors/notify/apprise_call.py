"""Everything else through apprise, in a process of its own: what hangs there is ended after a while."""

import json
import subprocess
import sys

from fleetpulse.notify.config import Apprise
from fleetpulse.notify.notifier import Notification, Outcome
from fleetpulse.notify.payload import text, title
from stream_processors.notify.request import UnsureError

TIMEOUT_SECONDS = 30.0
NOT_UNDERSTOOD = 3  # exit codes of apprise_child
FORBIDDEN = 4


def send_apprise(
    notification: Notification,
    apprise: Apprise,
    allow: str,
    external_url: str,
    timeout_seconds: float | None = None,
) -> tuple[Outcome, str]:
    """The outcome, and why it is not DELIVERED. Raises UnsureError."""
    bound = timeout_seconds or TIMEOUT_SECONDS
    kind = "failure" if notification.what.firing else "success"
    job = {
        "url": apprise.url,
        "allow": allow,
        "type": kind,
        "title": title(notification),
        "body": text(notification, external_url),
        "key": notification.key,
    }
    command = [sys.executable, "-P", "-m", "stream_processors.notify.apprise_child"]
    try:
        child = subprocess.run(command, input=json.dumps(job).encode(), capture_output=True, timeout=bound, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnsureError(f"apprise did not end within {bound:g} s") from error
    said = " ".join(child.stdout.decode(errors="replace").split())[:300]
    if child.returncode == 0:
        return Outcome.DELIVERED, ""
    if child.returncode in (NOT_UNDERSTOOD, FORBIDDEN):
        return Outcome.REFUSED, said
    return Outcome.UNSURE, said or f"apprise ended with code {child.returncode}"
