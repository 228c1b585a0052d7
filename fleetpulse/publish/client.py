"""kafka-python's producer as we need it: opened with a bound, closed with a bound, never left half alive."""

import threading
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer, codec
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.record import util

from fleetpulse.errors import FatalError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES

OPEN_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 30_000
TRANSACTION_TIMEOUT_MS = 20_000
_BATCH_BYTES = 256 * 1024


def check_codecs() -> None:
    """Raise FatalError when a package is missing without which every message would fail, or cost 60 times more."""
    if not codec.has_zstd():
        raise FatalError("the package zstandard is missing: reinstall fleetpulse")
    if util.crc32c_c is None:
        raise FatalError("the package crc32c is missing: reinstall fleetpulse")


def open_client(kafka: KafkaSettings, publish: PublishSettings, transactional_id: str | None = None) -> Any:
    """A producer that has spoken to a broker; raises KafkaError or OSError within `OPEN_TIMEOUT_MS`.

    With a transactional id `fence_others` comes next.
    """
    delivery_ms = max(1000, int(publish.delivery_timeout_seconds * 1000))
    request_ms = min(REQUEST_TIMEOUT_MS, max(500, delivery_ms // 2))  # its client wants it below the other
    connections: list[Any] = []

    def keep(**configs: Any) -> Any:  # a producer whose bootstrap fails would leave its sockets behind
        connections.append(KafkaNetClient(**configs))
        return connections[-1]

    try:
        return KafkaProducer(
            **kafka_python_config(kafka),
            acks="all",
            enable_idempotence=True,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type="zstd",
            batch_size=_BATCH_BYTES,
            linger_ms=publish.linger_ms,
            max_request_size=MAX_MESSAGE_BYTES,
            max_block_ms=OPEN_TIMEOUT_MS,
            bootstrap_timeout_ms=OPEN_TIMEOUT_MS,
            request_timeout_ms=request_ms,
            delivery_timeout_ms=max(delivery_ms, request_ms + publish.linger_ms),
            reconnect_backoff_max_ms=5_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            kafka_client=keep,
        )
    except (KafkaError, OSError):
        for connection in connections:
            with suppress(Exception):
                connection.close()
        raise


def fence_others(client: Any) -> None:
    """End what other clients of the same transactional id have under way; from here on Kafka refuses them."""
    client.init_transactions()


def commit(client: Any, timeout_seconds: float) -> None:
    """Commit; raises KafkaError when another client has taken the id, or when nothing answers in time."""
    # commit_transaction() does the same and waits for ever.
    result = client._transaction_manager.begin_commit()
    client._sender.wakeup()
    if not result.wait(timeout_ms=timeout_seconds * 1000):
        raise KafkaTimeoutError(f"no answer to the commit within {timeout_seconds:g} s")


def close_client(client: Any, timeout_seconds: float) -> None:
    """Close a producer. kafka-python's own close raises, or waits, when its broker is gone: not this one."""
    closer = threading.Thread(target=_close, args=(client, timeout_seconds), name="close-kafka-client", daemon=True)
    closer.start()
    closer.join(timeout_seconds + 1.0)


def _close(client: Any, timeout_seconds: float) -> None:
    # Each step may raise whatever the state of a socket makes of it, and the next one must still be done.
    with suppress(Exception):
        client.close(timeout=timeout_seconds)
    with suppress(Exception):
        client._sender.force_close()
    # After a close that raised, the object would try again when collected, and complain from there.
    with suppress(Exception):
        client._unregister_cleanup()
    client._closed = True
    with suppress(Exception):
        client._sender.join(timeout_seconds + 0.5)  # it closes its sockets at the end
