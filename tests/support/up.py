"""`fleetpulse up` as a child of a test, on free ports and a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fleetpulse.settings import PREFIX
from infra.embedded.child import tail
from infra.embedded.folder import DataFolder
from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.patience import patient

READY_SECONDS = 120.0
READY = "Fleetpulse is ready"
_PART = Path(__file__).with_name("up_part.py")


@dataclass
class Up:
    """A running `up`."""

    folder: DataFolder
    output: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    working: Path  # its working directory; its data folder is elsewhere
    seen: set[int] = field(default_factory=set)

    def text(self) -> str:
        """What it has shown so far."""
        return self.output.read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """The content of run/state.json."""
        state: dict[str, Any] = json.loads(self.folder.state_file.read_text())
        return state

    def pid_of(self, name: str) -> int:
        """The child's pid; fails while it has none."""
        pid = next(one["pid"] for one in self.state()["processes"] if one["name"] == name)
        assert pid, f"{name} has no pid"
        return int(pid)

    def wait_until_ready(self) -> None:
        """Until it says so; fails with what it said when it ends before."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"up ended with {self.process.returncode}:\n{self.text()}")
            return READY in self.text()

        eventually(ready, READY_SECONDS)
        self.seen |= {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def wait(self, within: float) -> int:
        """Its exit code; fails when it takes longer."""
        try:
            return self.process.wait(patient(within))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"up still runs after {patient(within):.0f} s:\n{self.text()}") from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """`up` itself does nothing meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def left(self) -> list[str]:
        """Those of its processes that still run."""
        return [text for pid in self.seen if (text := _running(pid))]

    def command(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Another `fleetpulse` command on the same folder."""
        return fleetpulse(*arguments, environment=self.environment, text=text)

    @contextmanager
    def typed(self, line: str) -> Iterator[subprocess.Popen[bytes]]:
        """A line as a person types it at another terminal, ended when the block ends; what it says goes to a file."""
        with self.output.with_suffix(".typed").open("ab") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"exec env {line}"],
                env={**_bare_environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.working,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def up(
    root: Path, services: Sequence[str] = (), arguments: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[Up]:
    """Start it; without ``services`` everything, as `fleetpulse up` does. Whatever is left is killed by pid."""
    folder = DataFolder(root.resolve())
    environment = {**ports(), **(env or {}), f"{PREFIX}DATA_DIR": str(folder.root)}
    program = [str(_PART), ",".join(services)] if services else ["-m", "fleetpulse", "up"]
    output = root.with_name(f"{root.name}-{uuid.uuid4().hex[:6]}.out")
    working = root.with_name(f"{root.name}-cwd")
    working.mkdir(exist_ok=True)
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", *program, *arguments],
            env={**_bare_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=working,
            process_group=0,
        )
    running = Up(folder, output, environment, process, working)
    try:
        yield running
    except BaseException:
        print(f"--- {output}:\n{tail(output, 60)}", file=sys.stderr)
        for log in sorted(folder.logs.glob("*.log")):
            print(f"--- {log}:\n{tail(log, 15)}", file=sys.stderr)
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patient(15))
            process.kill()
            process.wait()
        for pid in running.seen:
            if _running(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def fleetpulse(
    *arguments: str, environment: Mapping[str, str], text: str = "", within: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run one `fleetpulse` command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "fleetpulse", *arguments],
        env={**_bare_environment(), **environment},
        input=text,
        capture_output=True,
        text=True,
        timeout=patient(within),
        check=False,
    )


def ports() -> dict[str, str]:
    """Settings that put every server on a free port."""
    names = ("API_PORT", "EMBEDDED_KAFKA_PORT", "EMBEDDED_CLICKHOUSE_PORT", "EMBEDDED_CLICKHOUSE_HTTP_PORT")
    return {f"{PREFIX}{name}": str(free_port()) for name in names}


def _bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def _running(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{pid} {' '.join(process.cmdline())[:120]}"
    except psutil.Error:
        return ""
