"""The wheel without a clone: an environment of its own, and a folder that has its own `api/` and `infra/`.

The Python packages come from the hashed locks; the jars are fetched by `up` itself. Nothing else is taken from here.
"""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from packaging.requirements import Requirement

from infra.setup import layout
from infra.setup.lock import blocks
from infra.setup.wheel import build_wheel
from tests.support.patience import patient
from tests.support.up import ports

READY_SECONDS = 240
STOP_SECONDS = 10
PROJECT = tomllib.loads((layout.ROOT / "pyproject.toml").read_text())
POISON = "raise RuntimeError('imported from the working directory')\n"

pytestmark = pytest.mark.servers


def environment(folder: Path, *locks: str) -> Path:
    """The Python of a new environment with what the locks name, each package checked against its hash."""
    return environment_from(folder, *(layout.lock(name) for name in locks))


def environment_from(folder: Path, *files: Path) -> Path:
    """The same from files of hashed requirements."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    requirements = [argument for file in files for argument in ("-r", str(file))]
    pip(python, "--require-hashes", "--no-deps", "--only-binary", ":all:", *requirements)
    return python


def pip(python: Path, *arguments: str) -> None:
    """`pip install` into the environment of `python`, quietly."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", *arguments]
    subprocess.run(command, check=True, env=layout.environment())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `make wheel` does."""
    return build_wheel(tmp_path_factory.mktemp("wheel") / "dist", Path(sys.executable))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fleetpulse` of an environment that has the wheel with its extra `embedded`, all of whose needs are locked."""
    python = environment(tmp_path_factory.mktemp("installed") / "env", "services", "embedded")
    pip(python, "--no-index", f"{wheel}[embedded]")
    return python.with_name("fleetpulse")


@pytest.fixture(scope="module")
def agent_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fleetpulse` of an environment that has the wheel without an extra."""
    folder = tmp_path_factory.mktemp("agent_alone")
    base = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    locked = blocks(layout.lock("services").read_text())
    (folder / "base.txt").write_text("".join(text for key, text in locked.items() if key.partition("==")[0] in base))
    python = environment_from(folder / "env", folder / "base.txt")
    pip(python, "--no-index", str(wheel))
    return python.with_name("fleetpulse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory whose `api` and `infra` must not be taken for ours."""
    for name in ("api", "infra", "fleetpulse"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(POISON)
    return tmp_path


@pytest.fixture
def env() -> dict[str, str]:
    """The environment of someone who has no clone."""
    ours = ("FLEETPULSE_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | ports()


def test_it_has_the_page_and_neither_tests_nor_bench(wheel: Path) -> None:
    names = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True)
    listed = [line.split()[0] for line in names.stdout.splitlines()[1:]]
    assert "api/page/index.html" in listed
    assert {name.partition("/")[0] for name in listed if ".dist-info/" not in name} == {
        "api",
        "fleetpulse",
        "infra",
        "producers",
        "stream_processors",
    }
    assert not [name for name in listed if name.startswith("infra/setup")]


def test_the_base_is_the_agent_alone(agent_alone: Path, folder: Path, env: dict[str, str]) -> None:
    command = [str(agent_alone), "agent", "--once", "--print"]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "node_cpu_seconds_total{" in result.stdout
    result = subprocess.run([agent_alone, "api"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "install fleetpulse with the extra that has it" in result.stderr


def test_up_runs_and_ctrl_c_ends_it(command: Path, folder: Path, env: dict[str, str]) -> None:
    log = folder / "up.log"
    with log.open("w") as out:
        up = subprocess.Popen(
            [command, "up", "--ports", "auto"], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    children: list[psutil.Process] = []
    try:
        status = until_healthy(command, folder, env, up, log)
        children = psutil.Process(up.pid).children(recursive=True)
        with urllib.request.urlopen(status["addresses"]["page"], timeout=patient(5)) as response:
            assert b'<div id="root">' in response.read()
        up.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert up.wait(patient(STOP_SECONDS) + 5) == 0, log.read_text()
        assert time.monotonic() - begin < patient(STOP_SECONDS)
    finally:
        up.kill()
        up.wait()
    gone, alive = psutil.wait_procs(children, timeout=patient(1))
    assert len(gone) >= 7  # Kafka, ClickHouse, ingest, rules, history, API, agent
    assert alive == []


def until_healthy(
    command: Path, folder: Path, env: dict[str, str], up: subprocess.Popen[bytes], log: Path
) -> dict[str, Any]:
    """What `fleetpulse status --json` says once everything is ready."""
    begin = time.monotonic()
    while time.monotonic() - begin < patient(READY_SECONDS) and up.poll() is None:
        result = subprocess.run([command, "status", "--json"], cwd=folder, env=env, capture_output=True, check=False)
        if result.returncode == 0:
            status: dict[str, Any] = json.loads(result.stdout)
            return status
        time.sleep(1)
    ended = "still runs" if up.poll() is None else f"ended with {up.poll()}"
    raise AssertionError(f"not healthy within {READY_SECONDS} s, `up` {ended} and said:\n{log.read_text()[-3000:]}")
