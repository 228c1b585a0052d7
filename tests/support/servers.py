"""The embedded servers on free ports, for a test session or for one test that breaks them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fleetpulse.settings import EmbeddedSettings, KafkaSettings
from infra.embedded import clickhouse, jars, kafka
from infra.embedded.child import Child, Command
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.progress import Progress
from infra.embedded.wait import wait_ready
from tests.support.databases import NAMES
from tests.support.patience import patient
from tests.support.proxy import Proxy

START_SECONDS = 90.0
STOP_SECONDS = 20.0


@dataclass
class Server:
    """A server child that a test may kill, stop and start again on the same port and data."""

    command: Command
    guard: Guard
    not_ready: Callable[[], str | None]
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.child = Child(self.command, self.guard)
        wait_ready(self.child, self.not_ready, patient(START_SECONDS))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        self.child.stop(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.child.kill()


@dataclass(frozen=True)
class KafkaServer:
    """Apache Kafka on a free port."""

    bootstrap_servers: str
    server: Server


@dataclass(frozen=True)
class ClickHouseServer:
    """ClickHouse on free ports, with the rights of production on every database of `databases.NAMES`."""

    host: str
    port: int
    http_port: int
    server: Server
    folder: DataFolder
    _embedded: clickhouse.EmbeddedClickHouse

    def url(self, user: str = "fleetpulse", database: str = "fleetpulse") -> str:
        """clickhouse-driver's URL, password included."""
        return self._embedded.url(user, database)

    def password(self, user: str) -> str:
        """The user's password."""
        return (self.folder.secrets / f"clickhouse-{user}").read_text()


def start_kafka(root: Path, guard: Guard, proxy: Proxy | None = None) -> KafkaServer:
    """A broker whose data lie under ``root``; stop its `server` when done. Clients of ``proxy`` get through to it."""
    folder = _folder(root)
    options = EmbeddedSettings(kafka_heap_mb=512, kafka_retention_mb=1024)
    embedded = kafka.EmbeddedKafka(folder, jars.fetch(jars.default_folder(), Progress()), free_port(), options)
    if proxy is not None:
        port = free_port()
        embedded = replace(embedded, proxied_port=port, proxied_address=proxy.address)
        proxy.target = (LOOPBACK, port)
    settings = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers)
    server = Server(embedded.prepare(), guard, lambda: kafka.not_ready(settings))
    return KafkaServer(embedded.bootstrap_servers, server)


def start_clickhouse(root: Path, guard: Guard) -> ClickHouseServer:
    """A ClickHouse whose data lie under ``root``; stop its `server` when done."""
    folder = _folder(root)
    embedded = clickhouse.EmbeddedClickHouse(
        folder, free_port(), free_port(), EmbeddedSettings(), databases=(clickhouse.DATABASE, *NAMES)
    )
    server = Server(embedded.prepare(), guard, lambda: clickhouse.not_ready(embedded.url("fleetpulse")))
    return ClickHouseServer("127.0.0.1", embedded.port, embedded.http_port, server, folder, embedded)


def _folder(root: Path) -> DataFolder:
    folder = DataFolder(root.resolve())
    folder.create()
    return folder
