"""The system's processes as children of a test: ``with running("ingest", env, tmp_path) as ingest: …``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fleetpulse.settings import PREFIX
from infra.embedded.child import tail
from tests.support.patience import patient


@dataclass
class Running:
    """A started ``fleetpulse NAME``."""

    name: str
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """What it has written so far."""
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()
        self.process.wait()

    def stop(self, within: float = 15.0) -> int:
        """SIGTERM; returns the exit code and fails when it takes longer than ``within`` quiet seconds."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return self.process.wait(patient(within))
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)
            raise AssertionError(
                f"{self.name} did not end within {patient(within):.0f} s:\n{tail(self.log_file, 40)}"
            ) from None

    def wait(self, within: float) -> int:
        """The exit code of a process that ends by itself."""
        try:
            return self.process.wait(patient(within))
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {patient(within):.0f} s:\n{tail(self.log_file, 40)}"
            ) from None

    def signal(self, number: signal.Signals) -> None:
        """Any signal, e.g. SIGSTOP and SIGCONT."""
        self.process.send_signal(number)


@contextmanager
def running(
    name: str, env: Mapping[str, str], folder: Path, arguments: Sequence[str] = (), log_name: str = ""
) -> Iterator[Running]:
    """Start ``python -P -m fleetpulse NAME`` with ``env`` as its only settings and its log in ``folder``.

    It is stopped by its pid when the block ends. The end of its log is shown when the block fails.
    """
    log_file = folder / f"{log_name or name}.log"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fleetpulse", name, *arguments],
            env={**inherited, f"{PREFIX}DATA_DIR": str(folder / "data"), **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    child = Running(name, log_file, process)
    try:
        yield child
    except BaseException:
        print(f"--- the end of {log_file}:\n{tail(log_file, 40)}", file=sys.stderr)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(patient(15))
            process.kill()
            process.wait()
