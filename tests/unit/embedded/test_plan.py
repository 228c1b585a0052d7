"""What each process of `up` is started with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fleetpulse.settings import EmbeddedSettings
from infra.embedded.addresses import Addresses
from infra.embedded.child import Command
from infra.embedded.display import welcome
from infra.embedded.folder import DataFolder
from infra.embedded.plan import Plan
from infra.embedded.service import Service

URL_FILE = "FLEETPULSE_CLICKHOUSE_URL_FILE"
EMBEDDED = Addresses("127.0.0.1", api=8000, kafka=9092, clickhouse=9000, clickhouse_http=8123)
EXTERNAL = Addresses("127.0.0.1", api=8000, kafka=None, clickhouse=None, clickhouse_http=None)


def plan(
    root: Path,
    addresses: Addresses = EMBEDDED,
    environ: Mapping[str, str] | None = None,
    *,
    agent: bool = True,
    simulate: int = 0,
) -> Plan:
    return Plan(DataFolder(root), addresses, environ or {}, EmbeddedSettings(), root / "jars", agent, simulate)


def command(services: list[Service], name: str) -> Command:
    return next(service for service in services if service.name == name).prepare()


def test_processes_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    services = plan(tmp_path, simulate=5).services()
    names = [service.name for service in services]
    assert names == [
        *("kafka", "clickhouse", "topics", "migrate", "ingest", "rules", "history", "api", "agent", "simulate")
    ]
    order = {service.name: service.stop_order for service in services}
    assert order["agent"] < order["ingest"] < order["api"] < order["clickhouse"] < order["kafka"]
    assert max(service.stop_until for service in services) <= 9.0


def test_each_process_has_the_least_rights_that_work(tmp_path: Path) -> None:
    services = plan(tmp_path).services()
    for name in ("migrate", "ingest", "rules", "history"):
        assert command(services, name).environment[URL_FILE].endswith("clickhouse-fleetpulse.url")
    assert command(services, "api").environment[URL_FILE].endswith("clickhouse-api.url")
    assert URL_FILE not in command(services, "agent").environment


def test_every_long_running_process_has_a_port_of_its_own(tmp_path: Path) -> None:
    services = [service for service in plan(tmp_path, simulate=1).services() if service.self_url]
    ports = {service.prepare().environment["FLEETPULSE_SELF_PORT"] for service in services}
    assert len(ports) == len(services) == 6


def test_external_servers_are_not_started_and_reach_the_children(tmp_path: Path) -> None:
    environ = {
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
        "FLEETPULSE_KAFKA_SASL_PASSWORD": "hidden",
        "FLEETPULSE_KAFKA_TOPIC_PREFIX": "ours",
        "FLEETPULSE_CLICKHOUSE_URL": "clickhouse://u:secret@db/fleetpulse",
    }
    external = plan(tmp_path, EXTERNAL, environ)
    services = external.services()
    assert not {"kafka", "clickhouse"} & {service.name for service in services}
    assert command(services, "ingest").environment["FLEETPULSE_CLICKHOUSE_URL"] == environ["FLEETPULSE_CLICKHOUSE_URL"]
    assert "FLEETPULSE_CLICKHOUSE_URL" not in command(services, "agent").environment
    assert command(services, "agent").environment["FLEETPULSE_KAFKA_SASL_PASSWORD"] == "hidden"
    shared = external.shared_environment()
    assert shared["FLEETPULSE_KAFKA_TOPIC_PREFIX"] == "ours"
    assert not {"hidden", environ["FLEETPULSE_CLICKHOUSE_URL"]} & set(shared.values())
    assert "broker:9092 (external)" in external.shown_addresses().values()


API_URL = "FLEETPULSE_API_CLICKHOUSE_URL"


@pytest.mark.parametrize("form", ["", "_FILE"])
def test_the_api_of_an_external_clickhouse_can_have_a_user_that_only_reads(tmp_path: Path, form: str) -> None:
    environ = {f"FLEETPULSE_CLICKHOUSE_URL{form}": "writes", f"{API_URL}{form}": "reads"}
    services = plan(tmp_path, EXTERNAL, environ).services()

    def given(name: str) -> set[str]:
        return {value for variable, value in command(services, name).environment.items() if "CLICKHOUSE" in variable}

    assert given("api") == {"reads"}
    assert given("ingest") == given("migrate") == {"writes"}
    assert given("agent") == set()


def test_the_api_of_the_embedded_clickhouse_has_its_own_user(tmp_path: Path) -> None:
    environment = command(plan(tmp_path, environ={API_URL: "elsewhere"}).services(), "api").environment
    assert API_URL not in environment
    assert environment[URL_FILE].endswith("clickhouse-api.url")


@pytest.mark.parametrize(("agent", "simulate", "producers"), [(True, 0, {"agent"}), (False, 3, {"simulate"})])
def test_producers_are_chosen(tmp_path: Path, agent: bool, simulate: int, producers: set[str]) -> None:
    services = plan(tmp_path, agent=agent, simulate=simulate).services()
    assert {service.name for service in services} & {"agent", "simulate"} == producers
    if simulate:
        assert command(services, "simulate").arguments[-3:] == ("simulate", "--hosts", "3")


def test_the_notifier_runs_where_a_configuration_names_receivers(tmp_path: Path) -> None:
    assert "notify" not in [service.name for service in plan(tmp_path).services()]
    told = plan(tmp_path, environ={"FLEETPULSE_NOTIFY_CONFIG": "/etc/alertmanager.yaml"})
    notifier = command(told.services(), "notify")
    assert notifier.environment["FLEETPULSE_NOTIFY_CONFIG"] == "/etc/alertmanager.yaml"
    assert URL_FILE not in notifier.environment, "it needs no ClickHouse"
    assert "/etc/alertmanager.yaml" in welcome(told.shown_addresses(), str, 1.0)
    assert "alerts stay on the page" in welcome(plan(tmp_path).shown_addresses(), str, 1.0)
