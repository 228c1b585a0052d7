"""What a configuration says once it is read and checked: the route tree, receivers, inhibitions, time intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fleetpulse.notify.intervals import Intervals
from fleetpulse.notify.matchers import Matchers, shown

ALL_LABELS = "..."  # group_by: every alert is a group of its own
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How a request is made: headers beside ours, and TLS."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str = ""
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Webhook:
    """Alertmanager's webhook; with a secret every request is signed."""

    url: str = field(repr=False)
    max_alerts: int = 0
    timeout_seconds: float = 10.0
    http: HttpOptions = HttpOptions()
    hmac_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Email:
    """A message by SMTP."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    hello: str = "localhost"
    username: str = ""
    password: str = field(default="", repr=False)
    require_tls: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Forward:
    """Another Alertmanager, by its v2 API; `url` is its root."""

    url: str
    timeout_seconds: float = 10.0
    http: HttpOptions = HttpOptions()


@dataclass(frozen=True, slots=True)
class Apprise:
    """Any other service, by an apprise URL; it carries secrets, so it is never shown."""

    url: str = field(repr=False)


Channel: TypeAlias = Webhook | Email | Forward | Apprise
KINDS: Mapping[type, str] = {Webhook: "webhook", Email: "email", Forward: "alertmanager", Apprise: "apprise"}


@dataclass(frozen=True, slots=True)
class Integration:
    """One way in which a receiver is told."""

    receiver: str
    index: int  # among those of the receiver with the same kind
    channel: Channel
    send_resolved: bool
    line: int

    @property
    def kind(self) -> str:
        """``webhook``, ``email``, ``alertmanager`` or ``apprise``."""
        return KINDS[type(self.channel)]

    @property
    def name(self) -> str:
        """Its key in the state, e.g. ``oncall/webhook/0``."""
        return f"{self.receiver}/{self.kind}/{self.index}"


@dataclass(frozen=True, slots=True)
class Receiver:
    """A name, and how those behind it are told; without integrations alerts stay on the page."""

    name: str
    integrations: tuple[Integration, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree, with all that it inherits."""

    receiver: str
    matchers: Matchers
    group_by: tuple[str, ...]
    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int
    goes_on: bool  # `continue`: the routes after it are looked at too
    mute: tuple[str, ...]  # names of time intervals in which nothing is sent
    active: tuple[str, ...]  # names of the only time intervals in which something is sent
    routes: tuple["Route", ...]
    key: str  # Alertmanager's: the matchers of the path to it
    line: int

    def walk(self) -> Iterator["Route"]:
        """This route and all below it."""
        yield self
        for route in self.routes:
            yield from route.walk()


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """A firing alert that matches `source` keeps those quiet that match `target` and have the same `equal` labels."""

    source: Matchers
    target: Matchers
    equal: tuple[str, ...]
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"{shown(self.source)} mutes {shown(self.target)} with equal {', '.join(self.equal) or '-'}"


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration file."""

    route: Route
    receivers: Mapping[str, Receiver]
    inhibit_rules: tuple[InhibitRule, ...]
    intervals: Mapping[str, Intervals]
    notes: tuple[str, ...] = ()  # what has no effect here, with its line
    original: str = ""  # the file's text, secrets masked

    @property
    def integrations(self) -> list[Integration]:
        """Every way in which somebody is told."""
        return [integration for receiver in self.receivers.values() for integration in receiver.integrations]
