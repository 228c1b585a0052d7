"""docker-compose.yml: what it sets exists, what it waits for says when it is ready, and every service is bounded."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetpulse.cli import COMMANDS
from fleetpulse.settings import known_variables
from infra.clickhouse.users import FILE, MEMORY_MB, container_users_xml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"
TEXT = COMPOSE.read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("fleetpulse:")]
SECRETS = {
    line.partition("=")[0]: "x"
    for line in (ROOT / "infra/docker/env.example").read_text().splitlines()
    if line and not line.startswith("#")
}


def test_the_system_is_whole() -> None:
    assert set(SERVICES) >= {"kafka", "clickhouse", "grafana", "prepare", "ingest", "rules", "history", "api", "agent"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_that_is_set_is_a_setting(name: str) -> None:
    ours = {variable for variable in SERVICES[name]["environment"] if variable.startswith("FLEETPULSE_")}
    assert ours
    assert ours <= known_variables()


def test_grafana_has_the_variables_that_its_provisioning_takes() -> None:
    files = (ROOT / "infra/grafana/provisioning").rglob("*.yaml")
    taken = {variable for file in files for variable in re.findall(r"\$(FLEETPULSE_\w+)", file.read_text())}
    assert taken == {name for name in SERVICES["grafana"]["environment"] if name.startswith("FLEETPULSE_")}


def test_every_variable_of_the_image_is_a_setting() -> None:
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    assert set(re.findall(r"\b(FLEETPULSE_\w+)=", dockerfile)) <= known_variables()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_says_that_it_is_ready(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert condition["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "on-failure"


def test_the_start_order_ends() -> None:
    started: set[str] = set()
    waiting = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    while waiting:
        ready = [name for name, needed in waiting.items() if needed <= started]
        assert ready, f"these wait for each other: {sorted(waiting)}"
        started.update(ready)
        for name in ready:
            del waiting[name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_seen_by_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"]["max-size"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_a_command_that_exists_with_no_rights_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    shell = " ".join(service.get("entrypoint", []))
    called = service.get("command") or re.findall(r"fleetpulse (\w+)", shell)
    assert called
    assert set(called) <= set(COMMANDS)
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True


def test_our_image_does_not_run_as_root() -> None:
    last_stage = (ROOT / "infra/docker/Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["fleetpulse"]


def test_every_secret_is_required_and_listed() -> None:
    instructions = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    used = re.findall(r"\$\{(\w+)([^}]*)\}", instructions)
    assert {variable for variable, _ in used} == set(SECRETS)
    assert all(rest.startswith(":?") for _, rest in used)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        elif not source.startswith("/"):
            assert source in DOCUMENT["volumes"]


def test_clickhouse_has_the_users_and_limits_of_the_embedded_one() -> None:
    assert FILE.read_text() == container_users_xml(), "run `python -m infra.clickhouse.users`"
    assert SERVICES["clickhouse"]["deploy"]["resources"]["limits"]["memory"] == f"{MEMORY_MB // 1024}g"
    assert set(re.findall(r'from_env="(\w+)"', FILE.read_text())) <= set(SERVICES["clickhouse"]["environment"])


def test_compose_accepts_the_file() -> None:
    """`docker compose config` where it is installed; elsewhere the keys that compose would refuse."""
    environment = os.environ | SECRETS
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--quiet"]
    if _has_compose():
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return
    assert set(DOCUMENT) - {key for key in DOCUMENT if key.startswith("x-")} == {"name", "services", "volumes"}
    known = (
        "image build restart init stop_grace_period read_only tmpfs cap_drop security_opt logging environment "
        "depends_on healthcheck deploy ports volumes ulimits entrypoint command network_mode"
    )
    for service in SERVICES.values():
        assert set(service) <= set(known.split())
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())
        assert set(service.get("healthcheck", {})) <= {"test", "interval", "timeout", "retries", "start_period"}


def _has_compose() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
