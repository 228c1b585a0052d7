"""The addresses of one run: what is external, which ports are used, and what stands in their way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleetpulse import settings
from fleetpulse.errors import FatalError
from fleetpulse.settings import ApiSettings, EmbeddedSettings
from infra.embedded.ports import LOOPBACK, free_port, holder_of, is_free

_KAFKA_VARIABLES = ("FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS",)
_CLICKHOUSE_VARIABLES = ("FLEETPULSE_CLICKHOUSE_URL", "FLEETPULSE_CLICKHOUSE_URL_FILE")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Ports on this machine; those of an external server are None."""

    api_listen: str
    api: int
    kafka: int | None
    clickhouse: int | None
    clickhouse_http: int | None

    @property
    def page(self) -> str:
        """The page's address for a browser on this machine."""
        host = LOOPBACK if self.api_listen in ("0.0.0.0", "::", "") else self.api_listen
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api}/"


# field of Addresses → (what it is, the setting that moves it)
_PORTS = {
    "api": ("API and page", "FLEETPULSE_API_PORT"),
    "clickhouse": ("ClickHouse, native", "FLEETPULSE_EMBEDDED_CLICKHOUSE_PORT"),
    "clickhouse_http": ("ClickHouse, HTTP", "FLEETPULSE_EMBEDDED_CLICKHOUSE_HTTP_PORT"),
    "kafka": ("Kafka", "FLEETPULSE_EMBEDDED_KAFKA_PORT"),
}


def external(environ: Mapping[str, str], variables: tuple[str, ...]) -> bool:
    """Whether the environment names a server of one's own."""
    return any(environ.get(variable) for variable in variables)


def wanted(environ: Mapping[str, str]) -> Addresses:
    """The addresses that the settings ask for."""
    api = settings.load(ApiSettings, environ)
    embedded = settings.load(EmbeddedSettings, environ)
    own_clickhouse = not external(environ, _CLICKHOUSE_VARIABLES)
    return Addresses(
        api_listen=api.listen,
        api=api.port,
        kafka=None if external(environ, _KAFKA_VARIABLES) else embedded.kafka_port,
        clickhouse=embedded.clickhouse_port if own_clickhouse else None,
        clickhouse_http=embedded.clickhouse_http_port if own_clickhouse else None,
    )


def chosen(addresses: Addresses, *, auto: bool) -> Addresses:
    """The addresses to use; raises FatalError that lists every port in use, unless ``auto`` replaces them."""
    taken = [name for name in _PORTS if not _usable(addresses, name)]
    if auto:
        moved: dict[str, Any] = {name: free_port() for name in taken}
        return replace(addresses, **moved)
    if taken:
        raise FatalError(_conflicts(addresses, taken))
    return addresses


def _usable(addresses: Addresses, name: str) -> bool:
    port = getattr(addresses, name)
    address = addresses.api_listen if name == "api" else LOOPBACK
    return port is None or is_free(port, address)


def _conflicts(addresses: Addresses, taken: list[str]) -> str:
    lines = []
    for name in taken:
        port = getattr(addresses, name)
        what, variable = _PORTS[name]
        holder = holder_of(port)
        lines.append(
            f"\n  {port:<5}  {what:<18}  {f'held by {holder}' if holder else 'holder not visible':<28}  {variable}"
        )
    return (
        f"{'this port is' if len(taken) == 1 else 'these ports are'} in use, so nothing was started:"
        + "".join(lines)
        + "\nGo on with free ports:  make demo ARGS='--ports auto'   (or: fleetpulse up --ports auto)"
        + "\nor end what holds them, or set the variables above to other ports."
    )
