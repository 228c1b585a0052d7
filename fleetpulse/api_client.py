"""The command line's way to the API: JSON over HTTP, with the API's own sentence when it refuses."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from fleetpulse.errors import FleetpulseError, RejectedError, UnavailableError
from fleetpulse.settings import ApiSettings, load

TIMEOUT_SECONDS = 30.0


def api_url() -> str:
    """Where the API is: FLEETPULSE_API_URL, else where the settings let it listen on this machine."""
    settings = load(ApiSettings)
    if settings.url:
        return settings.url.rstrip("/")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.listen, settings.listen)
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{settings.port}"


def call_api(method: str, path: str, body: Any = None, look: str = "") -> Any:
    """The answer's JSON, None when it is empty. `look` is the command that shows whether a change was made.

    Raises UnavailableError when nobody answers, RejectedError (reason ``not_found`` or ``api``) or FleetpulseError with
    what the API says.
    """
    base = api_url()
    data = None if body is None else json.dumps(body).encode()
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    request = urllib.request.Request(base + path, data, headers, method=method)
    # Without proxies: it is our own API, and mostly on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.read()) from error
    except urllib.error.URLError as error:  # also a time-out while it connects: nothing was asked yet
        raise UnavailableError(
            f"the API does not answer at {base}: {error.reason}; start it with `fleetpulse up`, or set "
            "FLEETPULSE_API_URL"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{_unanswered(base, error)}; {_whether(method, look)}") from error
    return json.loads(text) if text else None


def _unanswered(base: str, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"the API at {base} was asked and did not answer within {TIMEOUT_SECONDS:g} seconds"
    return f"the API at {base} was asked and hung up before it had answered: {str(error) or repr(error)}"


def _whether(method: str, look: str) -> str:
    if method == "GET":
        return "see `fleetpulse status`, then ask again"
    return "so it is not known whether the change was made" + (f": run {look} to see" if look else "")


def _refusal(status: int, text: bytes) -> FleetpulseError:
    try:
        problem = json.loads(text)
        detail = str(problem["detail"]) if isinstance(problem, dict) else str(problem)
    except (ValueError, KeyError):
        detail = text.decode(errors="replace").strip()[:200]
    said = detail or f"HTTP {status}"
    reason = "not_found" if status == http.HTTPStatus.NOT_FOUND else "api"
    return RejectedError(reason, said) if status < 500 else FleetpulseError(f"HTTP {status}: {said}")
