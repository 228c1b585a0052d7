"""Everything else through apprise, in a process of its own: what hangs there is ended after a while."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import unquote

from fleetpulse.notify.config import Apprise
from fleetpulse.notify.notifier import Notification, Outcome
from fleetpulse.notify.payload import text, title
from stream_processors.notify.request import UnsureError

TIMEOUT_SECONDS = 30.0
NOT_UNDERSTOOD = 3  # exit codes of apprise_child
FORBIDDEN = 4
SECRET_CHARACTERS = 4  # a shorter piece of a URL is no secret
HIDDEN = "<secret>"


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
        child = subprocess.run(
            command, input=json.dumps(job).encode(), capture_output=True, timeout=bound, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise UnsureError(f"apprise did not end within {bound:g} s") from error
    lines = child.stdout.decode(errors="replace").splitlines() or [""]
    if child.returncode == 0:
        return Outcome.DELIVERED, ""
    if child.returncode in (NOT_UNDERSTOOD, FORBIDDEN):
        return Outcome.REFUSED, lines[-1][:300]  # of ours; those above it, of apprise, may name the URL
    said = without_secrets(" ".join(" ".join(lines).split()), apprise.url)[:300]
    return Outcome.UNSURE, said or f"apprise ended with code {child.returncode}"


def without_secrets(said: str, url: str) -> str:
    """What apprise says without what its URL may hold back: all of it but the scheme may be a token."""
    rest = url.partition("://")[2]
    pieces = {piece for text in (rest, unquote(rest)) for piece in re.split(r"[/?&=:@#,\s]+", text)}
    hidden = {url, unquote(url), rest, *(piece for piece in pieces if len(piece) >= SECRET_CHARACTERS)}
    for piece in sorted(hidden - {""}, key=len, reverse=True):
        said = said.replace(piece, HIDDEN)
    return said


def _environment() -> dict[str, str]:
    """Ours without proxies: who is asked is then who was checked."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
