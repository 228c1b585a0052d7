"""The pipeline that a group of faults shares: topics, a database without merges, workers behind proxies, an API."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
from clickhouse_driver import Client

from fleetpulse.publish.topic_admin import ensure_topics
from fleetpulse.settings import PREFIX, KafkaSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from infra.embedded.ports import free_port
from tests.faults.brokers import Brokers
from tests.faults.expected import MINUTE_MS
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.running import Running, running
from tests.support.servers import ClickHouseServer
from tests.support.topics import kafka_env

ROOT = Path(__file__).parents[2]
PARTITIONS = 6  # Faust gives each of n workers partitions / n, rounded up: of four, a third worker gets none
SESSION_SECONDS = 3.0
SHARE_SECONDS = 60.0
SETTLED_MS = 60_000


class World:
    """One prefix of topics and one database; `close` ends every process. Buckets close `closes_in` seconds from now
    and once a minute after that."""

    def __init__(self, brokers: Brokers, clickhouse: ClickHouseServer, folder: Path, closes_in: float) -> None:
        self.brokers, self.clickhouse, self.folder = brokers, clickhouse, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._processes: dict[str, ExitStack] = {}
        self.workers: dict[str, Running] = {}
        self.started = 0
        self.topics = KafkaSettings(
            bootstrap_servers=brokers.direct,
            topic_prefix=f"faults-{os.getpid()}-{time.monotonic_ns() % 10**9}",
            partitions=PARTITIONS,
            replication_factor=brokers.replication,
        )
        ensure_topics(self.topics, 30.0)
        self.database = fresh_database(clickhouse.url)
        self.proxy = self._stack.enter_context(Proxy(("127.0.0.1", clickhouse.port)))
        now_ms = time.time_ns() // 1_000_000
        self.lateness_ms = now_ms % MINUTE_MS + MINUTE_MS + int(closes_in * 1000)
        self.stop_merges()
        self._api: str | None = None

    # ---- settings of the children

    @property
    def kafka_env(self) -> dict[str, str]:
        """What every child needs to reach Kafka."""
        clients = replace(self.topics, bootstrap_servers=self.brokers.clients)
        return kafka_env(clients) | {
            "FLEETPULSE_KAFKA_REPLICATION_FACTOR": str(self.brokers.replication),
            "FLEETPULSE_KAFKA_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        }

    def ingest_env(self, proxy: Proxy | None = None) -> dict[str, str]:
        """Of an ingest worker that reaches ClickHouse through a proxy."""
        return self.kafka_env | {
            "FLEETPULSE_CLICKHOUSE_URL": through(self.database.url, proxy or self.proxy),
            "FLEETPULSE_INGEST_FLUSH_SECONDS": "0.4",
            "FLEETPULSE_INGEST_HOUR_SETTLE_SECONDS": "4",
            "FLEETPULSE_INGEST_HOUR_CHECK_SECONDS": "1",
            "FLEETPULSE_INGEST_LATENESS_SECONDS": str(self.lateness_ms / 1000),
        }

    # ---- time

    def live_minute(self, stays_open: float = 8.0) -> int:
        """Start (ms) of the minute that closes next, but not within `stays_open` seconds."""
        least = time.time_ns() // 1_000_000 + int(stays_open * 1000) - self.lateness_ms - MINUTE_MS
        return -(-least // MINUTE_MS) * MINUTE_MS

    def closes_at(self, minute_ms: int) -> float:
        """Unix seconds at which a minute closes."""
        return (minute_ms + MINUTE_MS + self.lateness_ms) / 1000

    def hours_over(self) -> int:
        """Hours that end before this time (ms) must be rolled up by now."""
        return time.time_ns() // 1_000_000 - self.lateness_ms - SETTLED_MS

    # ---- workers

    def start_worker(self, name: str, env: Mapping[str, str] | None = None, proxy: Proxy | None = None) -> Running:
        """Start an ingest worker; each start has a log of its own."""
        stack = self._stack.enter_context(ExitStack())
        self.started += 1
        settings = self.ingest_env(proxy) | {f"{PREFIX}DATA_DIR": str(self.folder / name)} | dict(env or {})
        self._processes[name] = stack
        self.workers[name] = stack.enter_context(
            running("ingest", settings, self.folder, log_name=f"{name}-{self.started}")
        )
        return self.workers[name]

    def kill_worker(self, name: str) -> None:
        """SIGKILL."""
        self.workers.pop(name).kill()
        self._processes.pop(name).close()

    def stop_worker(self, name: str, within: float = 20.0) -> int:
        """SIGTERM; returns the exit code."""
        worker = self.workers.pop(name)
        code = worker.stop(within)
        self._processes.pop(name).close()
        return code

    def settle(self, *names: str) -> None:
        """Exactly these workers run, and share the partitions; none at all when none is named."""
        for name in list(self.workers):
            if name not in names or self.workers[name].process.poll() is not None:
                self.kill_worker(name)
        for name in names:
            if name not in self.workers:
                self.start_worker(name)
        if names:
            eventually(lambda: self.shared(*names), SHARE_SECONDS)

    def heal(self) -> None:
        """Every proxy forwards again."""
        self.proxy.resume()
        if self.brokers.proxy is not None:
            self.brokers.proxy.resume()

    def shared(self, *names: str) -> bool:
        """Whether these workers own all partitions, each some and no partition twice."""
        owned = [owned_by(self.workers[name]) for name in names]
        assert all(owned), owned
        assert sorted(partition for part in owned for partition in part) == list(range(PARTITIONS)), owned
        return True

    # ---- ClickHouse

    def client(self, user: str = "fleetpulse") -> Client:
        """A connection that no proxy disturbs."""
        return connect(self.database.url_for(user))

    def stop_merges(self) -> None:
        """Every copy of a row stays in its own part; a ClickHouse that was restarted must be told again."""
        self._system("STOP MERGES")

    def merge(self) -> None:
        """Let ClickHouse merge, and merge everything now."""
        self._system("START MERGES")
        client = self.client()
        try:
            for table in tables.TABLES:
                client.execute(f"OPTIMIZE TABLE {table} FINAL", settings={"optimize_throw_if_noop": 0})
        finally:
            client.disconnect()

    def _system(self, what: str) -> None:
        client = self.client()
        try:
            for table in tables.TABLES:
                client.execute(f"SYSTEM {what} {self.database.name}.{table}")
        finally:
            client.disconnect()

    # ---- the API, and commands

    @property
    def api(self) -> str:
        """The address of a `fleetpulse api` of this world."""
        if self._api is None:
            port = free_port()
            env = self.kafka_env | {
                "FLEETPULSE_API_PORT": str(port),
                "FLEETPULSE_CLICKHOUSE_URL": self.database.url_for("api"),
                "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": self.brokers.direct,
            }
            self._stack.enter_context(running("api", env, self.folder))
            self._api = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(f"{self._api}/health/live"), 60.0)
        return self._api

    def command(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a `fleetpulse` command against this world to its end."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        env = self.kafka_env | {
            "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": self.brokers.direct,
            "FLEETPULSE_CLICKHOUSE_URL": self.database.url,
            f"{PREFIX}DATA_DIR": str(self.folder / "commands"),
            "FLEETPULSE_INGEST_LATENESS_SECONDS": str(self.lateness_ms / 1000),
        }
        return subprocess.run(
            [sys.executable, "-P", "-m", "fleetpulse", *arguments],
            env={**inherited, **env}, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def close(self) -> None:
        """End everything that this world started; its database stays for who wants to look."""
        self._stack.close()


def through(url: str, proxy: Proxy) -> str:
    """The URL with the proxy's address."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@{proxy.address}"))


def owned_by(worker: Running) -> list[int]:
    """The partitions of the worker's newest assignment; none before the first."""
    assigned = re.findall(r"msg=assigned partitions=(\S+)", worker.log())
    return [int(number) for number in assigned[-1].split(",")] if assigned and assigned[-1] != "none" else []


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
