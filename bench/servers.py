"""What a benchmark runs: the embedded servers on free ports and the system's own commands, all ended by their pid."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickhouse_driver import Client
from kafka.admin import ConfigResource, ConfigResourceType

from bench.procfs import resident_bytes
from fleetpulse.publish.topic_admin import admin_client, ensure_topics
from fleetpulse.settings import PREFIX, EmbeddedSettings, KafkaSettings
from fleetpulse.storage.migrate import migrate
from fleetpulse.topics import Topic
from infra.embedded import clickhouse, jars, kafka
from infra.embedded.child import Child, Command, tail
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.progress import Progress
from infra.embedded.wait import wait_ready

START_SECONDS = 90.0
STOP_SECONDS = 20.0
PARTITIONS = 12
DATABASES = tuple(f"fleetpulse_bench_{number}" for number in range(24))
KAFKA_OPTIONS = EmbeddedSettings(kafka_retention_mb=8192)
# May look at the server's own tables, which no user of the product may.
_BENCH_USER = """<bench><password/><networks><ip>127.0.0.1</ip></networks><profile>service</profile>
<quota>default</quota><grants><query>GRANT SELECT ON *.*</query><query>GRANT OPTIMIZE ON *.*</query>
<query>GRANT SYSTEM ON *.*</query></grants></bench>
</users>"""


def until(check: Callable[[], bool], seconds: float, what: str, pause: float = 0.2) -> float:
    """Wait until ``check()``; returns the seconds it took. Raises TimeoutError that names ``what``."""
    begun = time.monotonic()
    while not check():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Database:
    """A fresh, migrated database, and the bench's own look at it."""

    name: str
    url: str
    client: Client
    url_of: Callable[[str], str]

    def ask(self, query: str) -> Any:
        """The one value of a query; ``{db}`` stands for the database."""
        [(value,)] = self.client.execute(query.replace("{db}", self.name))
        return value

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query; ``{db}`` stands for the database."""
        answer: list[tuple[Any, ...]] = self.client.execute(query.replace("{db}", self.name))
        return answer

    def merging(self) -> bool:
        """Whether ClickHouse merges parts right now."""
        return bool(self.ask("SELECT count() FROM system.merges"))

    def drop(self) -> None:
        """Remove it at once; the bench's connection to it is closed."""
        self.client.disconnect()
        own = Client.from_url(self.url)
        own.execute(f"DROP DATABASE {self.name} SYNC")
        own.disconnect()


@dataclass
class Process:
    """One ``fleetpulse NAME`` as a child."""

    name: str
    child: Child
    port: int
    base_bytes: int = 0  # its memory when it was assigned

    @property
    def pid(self) -> int:
        return self.child.pid

    def metric(self, name: str) -> float:
        """One of its own metrics, all its series added; 0 while it does not answer.

        Raises RuntimeError with the end of its log when it has ended.
        """
        self.dead()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)

    def log(self) -> str:
        """All that it wrote."""
        return self.child.command.log_file.read_text(errors="replace")

    def wait_assigned(self) -> None:
        """Until it owns every partition."""
        until(lambda: self._assigned() or self.dead(), 60.0, f"{self.name} is assigned", 0.02)
        self.base_bytes = resident_bytes(self.pid)

    def _assigned(self) -> bool:
        return "assigned" in self.log() and "partitions=0" in self.log()

    def dead(self) -> bool:
        """Always False: raises RuntimeError with the end of its log when it has ended."""
        if self.child.exit_code() is not None:
            raise RuntimeError(f"{self.name} ended:\n{tail(self.child.command.log_file, 30)}")
        return False


class Servers:
    """Kafka and ClickHouse under one temporary folder; topics and databases are a benchmark's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.guard = Guard()
        self._stack = ExitStack()
        self._stack.callback(self.guard.close)
        self._names = iter(DATABASES)
        self._count = 0

    def __enter__(self) -> "Servers":
        try:
            self.kafka, self.bootstrap = self._start_kafka()
            self.clickhouse, self._url = self._start_clickhouse()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database(self) -> Database:
        """The next database, migrated."""
        name = next(self._names)
        migrate(self._url("fleetpulse", name))
        client = Client(LOOPBACK, port=self._native_port, user="bench", database="system")
        return Database(name, self._url("fleetpulse", name), client, lambda user: self._url(user, name))

    def topics(self, partitions: int = PARTITIONS) -> KafkaSettings:
        """Fresh topics under a prefix of their own."""
        settings = KafkaSettings(
            bootstrap_servers=self.bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}", partitions=partitions
        )
        ensure_topics(settings)
        return settings

    def keep_times(self, topics: KafkaSettings) -> None:
        """Let `fleetpulse.metrics` keep the times of its messages, so that an hour can be replayed in a minute.

        Every worker sets the topic back to append time when it starts: say it again after that.
        """
        with admin_client(topics) as admin:
            name = Topic.METRICS.named(topics.topic_prefix)
            config = {"message.timestamp.type": "CreateTime"}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])

    @contextmanager
    def process(
        self,
        name: str,
        topics: KafkaSettings,
        database: Database | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> Iterator[Process]:
        """``fleetpulse NAME`` with its defaults, but for addresses and what ``environment`` says."""
        self._count += 1
        folder = self.root / f"{self._count}-{name}"
        folder.mkdir()
        port = free_port()
        settings = {
            "DATA_DIR": str(folder),
            "KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": topics.topic_prefix,
            "KAFKA_PARTITIONS": str(topics.partitions),
            "SELF_PORT": str(port),
            "SELF_INTERVAL_SECONDS": "0",
        }
        if database is not None:
            settings["CLICKHOUSE_URL"] = database.url
        settings |= environment or {}
        command = Command(
            name,
            (sys.executable, "-P", "-m", "fleetpulse", name, *arguments),
            folder / f"{name}.log",
            folder,
            {f"{PREFIX}{key}": value for key, value in settings.items()},
        )
        child = Child(command, self.guard)
        try:
            yield Process(name, child, port)
        except BaseException:
            print(f"--- the end of {command.log_file}:\n{tail(command.log_file, 30)}", file=sys.stderr)
            raise
        finally:
            child.stop(STOP_SECONDS)

    def command(self, name: str, topics: KafkaSettings, database: Database, *arguments: str) -> tuple[int, str]:
        """Run ``fleetpulse NAME …`` to its end: exit code and standard output."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)} | {
            f"{PREFIX}DATA_DIR": str(self.root),
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
            f"{PREFIX}KAFKA_TOPIC_PREFIX": topics.topic_prefix,
            f"{PREFIX}KAFKA_PARTITIONS": str(topics.partitions),
            f"{PREFIX}CLICKHOUSE_URL": database.url,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fleetpulse", name, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout or done.stderr

    def _start_kafka(self) -> tuple[Child, str]:
        folder = self._folder("kafka")
        files = jars.fetch(jars.default_folder(), Progress())
        embedded = kafka.EmbeddedKafka(folder, files, free_port(), KAFKA_OPTIONS)
        settings = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers)
        child = self._child(embedded.prepare(), lambda: kafka.not_ready(settings))
        return child, embedded.bootstrap_servers

    def _start_clickhouse(self) -> tuple[Child, Callable[[str, str], str]]:
        folder = self._folder("clickhouse")
        embedded = clickhouse.EmbeddedClickHouse(
            folder, free_port(), free_port(), EmbeddedSettings(), databases=(clickhouse.DATABASE, *DATABASES)
        )
        command = embedded.prepare()
        users = folder.clickhouse / "users.xml"
        users.write_text(users.read_text().replace("</users>", _BENCH_USER))
        child = self._child(command, lambda: clickhouse.not_ready(embedded.url("fleetpulse")))
        self._native_port = embedded.port
        return child, embedded.url

    def _child(self, command: Command, not_ready: Callable[[], str | None]) -> Child:
        child = Child(command, self.guard)
        self._stack.callback(child.stop, STOP_SECONDS)
        wait_ready(child, not_ready, START_SECONDS)
        return child

    def _folder(self, name: str) -> DataFolder:
        folder = DataFolder((self.root / name).resolve())
        folder.create()
        return folder
