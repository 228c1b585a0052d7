"""The Kafka clients' connection arguments."""

import ssl

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.kafka_config import aiokafka_config, kafka_python_config, start_hint
from fleetpulse.settings import KafkaSettings


def test_plain_connections_need_only_addresses() -> None:
    kafka = KafkaSettings(bootstrap_servers=" a:1 , b:2,")
    expected = {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}
    assert kafka_python_config(kafka) == expected
    assert aiokafka_config(kafka) == expected


def test_sasl_and_tls_reach_both_clients() -> None:
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="u", sasl_password="p"
    )
    ours = kafka_python_config(kafka)
    assert (ours["sasl_mechanism"], ours["sasl_plain_username"], ours["sasl_plain_password"]) == (
        "SCRAM-SHA-512",
        "u",
        "p",
    )
    theirs = aiokafka_config(kafka)
    assert theirs["sasl_plain_password"] == "p"
    assert isinstance(theirs["ssl_context"], ssl.SSLContext)
    assert theirs["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("kafka", "message"),
    [
        (KafkaSettings(bootstrap_servers=""), "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS is empty"),
        (KafkaSettings(bootstrap_servers="localhost"), "'localhost': write each address as host:port"),
        (KafkaSettings(bootstrap_servers="a:1,b:x"), "'b:x': write each address"),
        (KafkaSettings(security_protocol="SASL_SSL"), "set FLEETPULSE_KAFKA_SASL_MECHANISM as well"),
        (KafkaSettings(sasl_mechanism="PLAIN"), "use SASL_SSL or SASL_PLAINTEXT"),
    ],
)
def test_settings_that_cannot_connect(kafka: KafkaSettings, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kafka_python_config(kafka)
    with pytest.raises(SettingsError, match=message):
        aiokafka_config(kafka)


@pytest.mark.parametrize("servers", ["127.0.0.1:9092", "localhost:9092,127.0.0.2:1", "[::1]:9092"])
def test_a_kafka_of_this_machine_can_be_started_with_up(servers: str) -> None:
    assert "fleetpulse up" in start_hint(KafkaSettings(bootstrap_servers=servers))


@pytest.mark.parametrize("servers", ["kafka.example.org:9092", "127.0.0.1:9092,10.0.0.1:9092"])
def test_a_kafka_elsewhere_is_not_ours_to_start(servers: str) -> None:
    assert start_hint(KafkaSettings(bootstrap_servers=servers)) == ""
