"""Ports: all conflicts in one message, free ones on request, none for external servers."""

import os
import socket
from collections.abc import Iterator

import pytest

from fleetpulse.errors import FatalError
from infra.embedded import addresses
from infra.embedded.ports import free_port, is_free


@pytest.fixture
def environ() -> dict[str, str]:
    return {
        "FLEETPULSE_API_PORT": str(free_port()),
        "FLEETPULSE_EMBEDDED_KAFKA_PORT": str(free_port()),
        "FLEETPULSE_EMBEDDED_CLICKHOUSE_PORT": str(free_port()),
        "FLEETPULSE_EMBEDDED_CLICKHOUSE_HTTP_PORT": str(free_port()),
    }


@pytest.fixture
def holders(environ: dict[str, str]) -> Iterator[list[int]]:
    """Two of the ports held by this process, one on 127.0.0.1 and one on all addresses."""
    ports = [int(environ["FLEETPULSE_API_PORT"]), int(environ["FLEETPULSE_EMBEDDED_KAFKA_PORT"])]
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("0.0.0.0", ports[1])):
        yield ports


def test_free_ports_are_taken_as_they_are(environ: dict[str, str]) -> None:
    wanted = addresses.wanted(environ)
    assert addresses.chosen(wanted, auto=False) == wanted
    assert str(wanted.api) == environ["FLEETPULSE_API_PORT"]


def test_all_conflicts_are_in_one_message_with_their_holder(environ: dict[str, str], holders: list[int]) -> None:
    with pytest.raises(FatalError) as raised:
        addresses.chosen(addresses.wanted(environ), auto=False)
    message = str(raised.value)
    assert all(str(port) in message for port in holders)
    assert environ["FLEETPULSE_EMBEDDED_CLICKHOUSE_PORT"] not in message
    assert message.count(f"pid {os.getpid()}") == 2
    assert "make demo ARGS='--ports auto'" in message
    assert "FLEETPULSE_EMBEDDED_KAFKA_PORT" in message


def test_auto_replaces_only_what_is_taken(environ: dict[str, str], holders: list[int]) -> None:
    wanted = addresses.wanted(environ)
    chosen = addresses.chosen(wanted, auto=True)
    assert chosen.clickhouse == wanted.clickhouse
    assert chosen.api not in holders
    assert chosen.kafka is not None
    assert chosen.kafka not in holders
    assert is_free(chosen.kafka)


def test_external_servers_need_no_port(environ: dict[str, str], holders: list[int]) -> None:
    environ |= {
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
        "FLEETPULSE_CLICKHOUSE_URL_FILE": "/run/secrets/url",
        "FLEETPULSE_API_PORT": str(free_port()),
    }
    chosen = addresses.chosen(addresses.wanted(environ), auto=False)
    assert (chosen.kafka, chosen.clickhouse, chosen.clickhouse_http) == (None, None, None)
