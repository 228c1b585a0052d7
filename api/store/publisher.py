"""The outbox's way to Kafka: one thread, in the order of the changes, again and again until Kafka has them.

Rows are removed after Kafka committed them; what a crash leaves is published at the next start, perhaps twice: the
topics are compacted and the last record counts. With each connection the topics are compared with the database, which
decides: what differs (Kafka's disk was lost, another build wrote) is published anew.

Of several processes on one database one publishes, and no other can write behind its back:
**1** take the lease in the database, **2** fence the transactional id in Kafka, **3** read the rows and, in the same
transaction of the database, that the lease is still ours, **4** send and commit, **5** remove the rows. A process that
was overtaken between any two steps either sees that at 3, or Kafka refuses its commit: the next holder's 2 came later.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from kafka.errors import KafkaError
from sqlalchemy import Connection

from api.backlog import listens
from api.store import outbox
from api.store.engine import Database
from api.store.lease import Lease
from api.store.topic_state import latest
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import FleetpulseError, RetryableError
from fleetpulse.kafka_config import bootstrap_list
from fleetpulse.logs import log_fields
from fleetpulse.publish.client import close_client, commit, fence_others, open_client
from fleetpulse.rules.published import MORE
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic

AT_ONCE = 500
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
POLL_SECONDS = 0.5  # for changes that another process made
CLOSE_SECONDS = 3.0
_DELIVERY_SECONDS = 15.0

log = logging.getLogger(__name__)

LEASE = "outbox"

Records = Callable[[Connection], Mapping[str, bytes]]  # all that a topic should hold, by key
Adopt = Callable[[Mapping[str, bytes]], None]  # told what the topic holds before the two are compared


class LeaseLostError(RetryableError):
    """Another process publishes now."""


class OutboxPublisher:
    """Publishes the outbox of one database until it is closed, whenever no other process does."""

    def __init__(
        self, database: Database, kafka: KafkaSettings, metrics: SelfMetrics, clock: Clock | None = None
    ) -> None:
        self._database, self._kafka, self._metrics = database, kafka, metrics
        self._clock = clock or SystemClock()
        self._lease = Lease(database, self._clock, LEASE)
        self._topics: dict[Topic, tuple[Records, Adopt | None]] = {}
        self._client: Any = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def keep(self, topic: Topic, records: Records, adopt: Adopt | None = None) -> None:
        """Compare a topic with the database at each connection; before `start`."""
        self._topics[topic] = (records, adopt)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._database.committed.set()
        self._thread.join(CLOSE_SECONDS + 2.0)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            self._database.committed.clear()
            try:
                self._turn()
            except Exception as error:  # whatever it is, the next change must find this thread alive
                self._failed(error, pause)
                self._closing.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
            else:
                pause = FIRST_PAUSE_SECONDS
                self._database.committed.wait(POLL_SECONDS)
        self._disconnect()
        self._release()

    def _turn(self) -> None:
        ours = self._lease.hold()
        self._metrics.set("fleetpulse_outbox_publisher", float(ours))
        if ours:
            self._connect()
            self._publish()
        else:
            self._disconnect()

    def _release(self) -> None:
        try:
            self._lease.release()
        except FleetpulseError as error:  # it expires
            log.debug("the lease was not given back", extra=log_fields(cause=str(error)))

    def _failed(self, error: Exception, pause: float) -> None:
        self._disconnect()
        self._release()  # another process may have more luck
        self._metrics.add("fleetpulse_outbox_failures_total")
        expected = isinstance(error, KafkaError | OSError | RetryableError)
        told = expected and pause >= LONGEST_PAUSE_SECONDS
        log.log(
            logging.DEBUG if told else logging.WARNING,
            "changes are not published yet",
            extra=log_fields(cause=str(error) or repr(error), retry_seconds=pause),
            exc_info=None if expected else error,
        )

    def _connect(self) -> None:
        if self._client is not None:
            return
        # A client is opened only when somebody listens: one that is refused leaves a thread and sockets behind.
        if not any(listens(address) for address in bootstrap_list(self._kafka)):
            raise ConnectionRefusedError(f"nothing listens at {self._kafka.bootstrap_servers}")
        delivery = PublishSettings(linger_ms=0, delivery_timeout_seconds=_DELIVERY_SECONDS)
        self._client = open_client(self._kafka, delivery, f"{self._kafka.topic_prefix}.outbox")
        fence_others(self._client)
        for topic, (_, adopt) in self._topics.items():
            if adopt is not None:
                adopt(latest(self._kafka, topic))  # before the topic says that it is ours
        self._publish()  # so that what is compared is at rest
        for topic, (records, _) in self._topics.items():
            self._compare(topic, records)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            close_client(client, CLOSE_SECONDS)

    def _compare(self, topic: Topic, records: Records) -> None:
        held = latest(self._kafka, topic)
        with self._database.write() as connection:
            wanted = records(connection)
            changes: list[tuple[str, bytes | None]] = [(key, None) for key in held if key not in wanted]
            changes += [(key, value) for key, value in wanted.items() if held.get(key) != value]
            pending = {row.key for row in outbox.waiting(connection, AT_ONCE) if row.topic is topic}
            changes = [(key, value) for key, value in changes if key not in pending]
            for key, value in changes:
                outbox.add(connection, topic, key, value, self._clock.now_ms(), more=key != changes[-1][0])
        if changes:
            log.warning(
                "the topic differed from the database", extra=log_fields(topic=topic.value.suffix, keys=len(changes))
            )

    def _publish(self) -> None:
        while not self._closing.is_set():
            with self._database.read() as connection:
                if not self._lease.is_ours(connection):
                    raise LeaseLostError("another process publishes now")
                rows = outbox.waiting(connection, AT_ONCE)
                waiting = outbox.count(connection)
            self._metrics.set("fleetpulse_outbox_messages", waiting)
            if not rows:
                return
            self._send(rows)
            with self._database.write() as connection:
                outbox.done(connection, [row.id for row in rows])
            for row in rows:
                self._metrics.add("fleetpulse_outbox_published_total", topic=row.topic.value.suffix)

    def _send(self, rows: Sequence[outbox.Row]) -> None:
        self._client.begin_transaction()
        futures = [
            self._client.send(
                row.topic.named(self._kafka.topic_prefix),
                key=row.key.encode(),
                value=row.value,
                partition=0,
                headers=[MORE] if row.more else [],
            )
            for row in rows
        ]
        for future in futures:
            future.get(timeout=_DELIVERY_SECONDS + 5.0)
        commit(self._client, _DELIVERY_SECONDS)
