"""Kafka for the fault matrix: one broker behind a proxy, or a cluster of three whose nodes may be killed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fleetpulse.settings import EmbeddedSettings, KafkaSettings
from infra.embedded import jars, kafka
from infra.embedded.child import Command
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from infra.embedded.progress import Progress
from tests.faults.link import Link
from tests.support.proxy import Proxy
from tests.support.servers import KafkaServer, Server, start_kafka

NODES = 3


@dataclass(frozen=True)
class Brokers:
    """How Kafka is reached: by the tests, and by the processes under test (through `proxy`, when there is one)."""

    direct: str
    clients: str
    servers: list[Server] = field(default_factory=list)
    replication: int = 1
    proxy: Proxy | None = None
    link: Link | None = None  # that clients reach the proxy by

    def stop(self) -> None:
        """End every node."""
        for server in self.servers:
            server.stop()
        if self.proxy is not None:
            self.proxy.close()


def shared_broker(server: KafkaServer) -> Brokers:
    """The test session's own, which no fault may break."""
    return Brokers(server.bootstrap_servers, server.bootstrap_servers)


def one_broker(root: Path, guard: Guard) -> Brokers:
    """A broker; clients go through the proxy, the tests go straight to it."""
    proxy = Proxy(("127.0.0.1", 1))
    kafka_server = start_kafka(root, guard, proxy)
    return Brokers(kafka_server.bootstrap_servers, proxy.address, [kafka_server.server], 1, proxy)


def broker_behind(link: Link, root: Path, guard: Guard) -> Brokers:
    """A broker whose clients reach it over a link whose packets can be dropped."""
    proxy = Proxy(("127.0.0.1", 1), listener=link.listener())
    kafka_server = start_kafka(root, guard, proxy)
    return Brokers(kafka_server.bootstrap_servers, proxy.address, [kafka_server.server], 1, proxy, link)


def three_brokers(root: Path, guard: Guard) -> Brokers:
    """A KRaft cluster on this machine: three replicas of everything, of which two must be in sync to acknowledge."""
    controllers = tuple(free_port() for _ in range(NODES))
    ports = [free_port() for _ in range(NODES)]
    cluster = kafka.new_cluster_id()
    members = [kafka.Membership(number, cluster, controllers) for number in range(1, NODES + 1)]
    nodes = [_node(root, member, port) for member, port in zip(members, ports, strict=True)]
    commands = [node.prepare() for node in nodes]
    with ThreadPoolExecutor() as pool:  # none is ready alone
        servers = list(pool.map(lambda node, command: _start(node, command, guard), nodes, commands))
    bootstrap = ",".join(node.bootstrap_servers for node in nodes)
    return Brokers(bootstrap, bootstrap, servers, NODES)


def start_together(servers: Sequence[Server]) -> None:
    """Nodes that were killed, at once: with too few of them none is ready."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.start(), servers))


def _node(root: Path, membership: kafka.Membership, port: int) -> kafka.EmbeddedKafka:
    folder = DataFolder((root / f"node-{membership.node}").resolve())
    folder.create()
    options = EmbeddedSettings(kafka_heap_mb=256, kafka_retention_mb=512)
    found = jars.fetch(jars.default_folder(), Progress())
    return kafka.EmbeddedKafka(folder, found, port, options, membership=membership)


def _start(node: kafka.EmbeddedKafka, command: Command, guard: Guard) -> Server:
    settings = KafkaSettings(bootstrap_servers=node.bootstrap_servers)
    return Server(command, guard, lambda: kafka.not_ready(settings))
