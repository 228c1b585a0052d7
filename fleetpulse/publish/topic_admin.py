"""Create every topic of the enum, or check those that exist."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from fleetpulse.errors import SettingsError, UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.logs import log_fields
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import HOUR_MS, MAX_MESSAGE_BYTES, Topic

TIMEOUT_SECONDS = 10.0
_UNKNOWN_TOPIC, _TOPIC_EXISTS, _BAD_REPLICATION = 3, 36, 38
# Without these a topic that exists breaks the promises of the pipeline, so they are mended;
# its retention is its operator's business and is left alone.
_MENDED = ("cleanup.policy", "message.timestamp.type", "max.message.bytes")

log = logging.getLogger(__name__)


def ensure_topics(kafka: KafkaSettings, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Create the topics that are missing and check the others.

    Raises UnavailableError when Kafka does not answer within the timeout, and SettingsError when a topic has
    another number of partitions than the setting: hosts would change partitions in the middle of the stream.
    """
    with admin_client(kafka, timeout_seconds) as admin:
        wanted = {topic.named(kafka.topic_prefix): topic for topic in Topic}
        found = {row["name"]: row for row in admin.describe_topics(list(wanted))}
        missing = [name for name in wanted if found.get(name, {}).get("error_code", _UNKNOWN_TOPIC) == _UNKNOWN_TOPIC]
        if missing:
            _create(admin, kafka, {name: wanted[name] for name in missing}, timeout_seconds)
            found = {row["name"]: row for row in admin.describe_topics(list(wanted))}
        for name, topic in wanted.items():
            _check_partitions(name, len(found[name]["partitions"]), partitions_of(topic, kafka))
        _mend(admin, kafka, {name: wanted[name] for name in wanted if name not in missing})


def delete_topics(kafka: KafkaSettings, names: list[str], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Delete topics that exist, and wait until they are gone; names that do not exist are passed over."""
    deadline = time.monotonic() + timeout_seconds
    with admin_client(kafka, timeout_seconds) as admin:
        admin.delete_topics(names, timeout_ms=int(timeout_seconds * 1000), raise_errors=False)
        while set(admin.list_topics()) & set(names):
            if time.monotonic() > deadline:
                raise kafka_errors.KafkaTimeoutError("topics are still there after they were deleted")
            time.sleep(0.1)


def partitions_of(topic: Topic, kafka: KafkaSettings) -> int:
    """How many partitions the topic must have."""
    return kafka.partitions if topic.value.per_host else topic.value.partitions


def config_of(topic: Topic, kafka: KafkaSettings) -> dict[str, str]:
    """The topic's configuration on the broker."""
    spec = topic.value
    config = {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        # Kafka refuses what a clock that is wrong stamps an hour ahead, and deletes at once what is stamped long ago.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    }
    if spec.compacted:
        config["max.compaction.lag.ms"] = str(HOUR_MS)
    if spec.retention_ms is not None:
        config["retention.ms"] = str(spec.retention_ms)
    if kafka.replication_factor >= 3:
        config["min.insync.replicas"] = "2"
    return config


@contextmanager
def admin_client(kafka: KafkaSettings, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Any]:
    """kafka-python's admin client; what Kafka answers with an error becomes one of ours, naming the setting."""
    clients: list[Any] = []

    def keep(**configs: Any) -> Any:  # a client whose bootstrap fails would otherwise leave its thread behind
        clients.append(KafkaNetClient(**configs))
        return clients[-1]

    milliseconds = int(timeout_seconds * 1000)
    try:
        yield KafkaAdminClient(
            **kafka_python_config(kafka),
            bootstrap_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds,
            kafka_client=keep,
        )
    except kafka_errors.SaslAuthenticationFailedError as error:
        raise SettingsError(f"Kafka refuses FLEETPULSE_KAFKA_SASL_USERNAME {kafka.sasl_username!r}: {error}") from error
    except (kafka_errors.KafkaError, OSError) as error:
        raise UnavailableError(
            f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS) "
            f"within {timeout_seconds:g} s: {type(error).__name__}: {error}"
        ) from error
    finally:
        for client in clients:
            with suppress(Exception):
                client.close()
            with suppress(Exception):
                client._manager._net.stop()


def _create(admin: Any, kafka: KafkaSettings, topics: Mapping[str, Topic], timeout_seconds: float) -> None:
    milliseconds = int(timeout_seconds * 1000)
    request = {
        name: {
            "num_partitions": partitions_of(topic, kafka),
            "replication_factor": kafka.replication_factor,
            "configs": config_of(topic, kafka),
        }
        for name, topic in topics.items()
    }
    answer = admin.create_topics(request, timeout_ms=milliseconds, raise_errors=False)
    for row in answer["topics"]:
        if row["error_code"] == _BAD_REPLICATION:
            raise SettingsError(
                f"Kafka cannot keep {kafka.replication_factor} replicas of {row['name']} "
                f"(FLEETPULSE_KAFKA_REPLICATION_FACTOR): {row['error_message']}"
            )
        if row["error_code"] not in (0, _TOPIC_EXISTS):  # another process may have created it a moment ago
            raise kafka_errors.for_code(row["error_code"])(f"creating {row['name']}: {row['error_message']}")
        log.info("created topic", extra=log_fields(topic=row["name"], partitions=row["num_partitions"]))
    admin.wait_for_topics(list(topics), timeout_ms=milliseconds)


def _check_partitions(name: str, has: int, wants: int) -> None:
    if has == wants:
        return
    raise SettingsError(
        f"topic {name} has {has} partitions, FLEETPULSE_KAFKA_PARTITIONS asks for {wants}. "
        f"To go on with the topic as it is, set FLEETPULSE_KAFKA_PARTITIONS={has}. "
        "To change it: stop the producers, let the workers read what is left and finish its minutes (hosts change "
        "partitions, and nobody else would), stop them, run `fleetpulse topics --recreate`, which says what is not "
        "finished yet, and start everything again"
    )


def _mend(admin: Any, kafka: KafkaSettings, topics: Mapping[str, Topic]) -> None:
    if not topics:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, list(_MENDED)) for name in topics]
    current = admin.describe_configs(resources, config_filter="all")["topic"]
    changes = {}
    for name, topic in topics.items():
        wanted = config_of(topic, kafka)
        wrong = {key: wanted[key] for key in _MENDED if current[name][key]["value"] != wanted[key]}
        if wrong:
            changes[name] = wrong
            log.warning(
                "mending topic", extra=log_fields(topic=name, **{k.replace(".", "_"): v for k, v in wrong.items()})
            )
    if changes:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, wrong) for name, wrong in changes.items()])
