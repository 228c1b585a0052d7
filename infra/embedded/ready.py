"""Asking a process of ours whether it is ready, over its own port."""

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 1.0


def http_not_ready(base_url: str) -> str | None:
    """None when ``/health/ready`` answers 200, else the cause it names."""
    try:
        get(f"{base_url}/health/ready")
    except urllib.error.HTTPError as error:
        with error:
            return _cause(error.read())
    except TimeoutError:
        return f"it does not answer within {TIMEOUT_SECONDS:.0f} s"
    except OSError:
        return "it does not answer"
    return None


def get(url: str) -> str:
    """The body of a 200; raises OSError (urllib's HTTPError among them) otherwise."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def _cause(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return "it is not ready"
    if isinstance(answer, dict):
        return str(answer.get("cause") or answer.get("detail") or answer)
    return str(answer)
