"""The connection arguments of the two Kafka clients, from one group of settings."""

from typing import Any

from fleetpulse.errors import SettingsError
from fleetpulse.settings import KafkaSettings


def kafka_python_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for kafka-python's producer, consumer and admin client."""
    _check(kafka)
    config: dict[str, Any] = {
        "bootstrap_servers": bootstrap_list(kafka),
        "security_protocol": kafka.security_protocol,
    }
    if _uses_sasl(kafka):
        config |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password,
        }
    if _uses_ssl(kafka) and kafka.ssl_cafile:
        config["ssl_cafile"] = kafka.ssl_cafile
    return config


def aiokafka_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's producer, consumer and admin client."""
    _check(kafka)
    config: dict[str, Any] = {
        "bootstrap_servers": bootstrap_list(kafka),
        "security_protocol": kafka.security_protocol,
    }
    if _uses_sasl(kafka):
        config |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password,
        }
    if _uses_ssl(kafka):
        import ssl

        config["ssl_context"] = ssl.create_default_context(cafile=kafka.ssl_cafile or None)
    return config


def bootstrap_list(kafka: KafkaSettings) -> list[str]:
    """The bootstrap addresses; raises SettingsError when there is none or a port is missing."""
    servers = [part.strip() for part in kafka.bootstrap_servers.split(",") if part.strip()]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal():
            raise SettingsError(f"FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS has {server!r}: write each address as host:port")
    if not servers:
        raise SettingsError("FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS is empty: give at least one address as host:port")
    return servers


def start_hint(kafka: KafkaSettings) -> str:
    """What to do about a Kafka that does not answer: a sentence when it should be on this machine, else ""."""
    hosts = {server.rpartition(":")[0] for server in bootstrap_list(kafka)}
    here = all(host in ("localhost", "[::1]") or host.startswith("127.") for host in hosts)
    return "`fleetpulse up` starts a Kafka on this machine" if here else ""


def _uses_sasl(kafka: KafkaSettings) -> bool:
    return kafka.security_protocol.startswith("SASL_")


def _uses_ssl(kafka: KafkaSettings) -> bool:
    return kafka.security_protocol.endswith("SSL")


def _check(kafka: KafkaSettings) -> None:
    if _uses_sasl(kafka) and not kafka.sasl_mechanism:
        raise SettingsError(
            f"FLEETPULSE_KAFKA_SECURITY_PROTOCOL is {kafka.security_protocol!r}: "
            "set FLEETPULSE_KAFKA_SASL_MECHANISM as well"
        )
    if kafka.sasl_mechanism and not _uses_sasl(kafka):
        raise SettingsError(
            f"FLEETPULSE_KAFKA_SASL_MECHANISM is set, but FLEETPULSE_KAFKA_SECURITY_PROTOCOL is "
            f"{kafka.security_protocol!r}: use SASL_SSL or SASL_PLAINTEXT"
        )
