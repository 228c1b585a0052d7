"""`fleetpulse notify check`: a configuration, its routes, and whether its receivers can be reached by name."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from fleetpulse.errors import SettingsError
from fleetpulse.notify.config import Apprise, Config, Email, Forward, Integration, Route, Webhook
from fleetpulse.notify.load import load
from fleetpulse.notify.matchers import shown
from stream_processors.notify.guard import Guard, NotSentError


def check(path: Path, guard: Guard) -> int:
    """Print what the configuration says; exit code 1 when it cannot be used or a receiver does not resolve."""
    try:
        config = load(path)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {len(list(config.route.walk()))} routes, {len(config.receivers)} receivers")
    _print_routes(config, config.route, "")
    for rule in config.inhibit_rules:
        print(f"inhibit: {rule}")
    for note in config.notes:
        print(f"note: {note}")
    problems = [problem for item in config.integrations if (problem := unreachable(item, path, guard))]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def unreachable(integration: Integration, path: Path, guard: Guard) -> str | None:
    """Why an integration's address cannot be used, with receiver and line; its connection is not tried."""
    address = _address(integration)
    if address is None:
        return None
    try:
        guard.addresses(*address)
    except NotSentError as error:
        return f"{path}:{integration.line}: receiver {integration.receiver!r} ({integration.kind}): {error}"
    return None


def _address(integration: Integration) -> tuple[str, int] | None:
    match integration.channel:
        case Webhook(url=url) | Forward(url=url):
            parts = urlsplit(url)
            return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        case Email(host=host, port=port):
            return host, port
        case Apprise():
            return None  # only its plugin knows where it sends


def _print_routes(config: Config, route: Route, indent: str) -> None:
    kinds = ", ".join(item.kind for item in config.receivers[route.receiver].integrations) or "the page only"
    matchers = shown(route.matchers) if indent else "default"
    print(f"{indent}{matchers} → {route.receiver} ({kinds}){' and on' if route.goes_on else ''}")
    for child in route.routes:
        _print_routes(config, child, indent + "  ")
