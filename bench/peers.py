"""VictoriaMetrics and Prometheus beside us: found, never installed; started on a free port and ended by pid."""

import http.client
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import recorded
from bench.procfs import LEAST_SECONDS, MERGES_SECONDS, Meter, peak_bytes, settle
from bench.remote_write import HEADERS, Requests
from bench.servers import until
from bench.stream import Shape, Stream
from infra.embedded.child import Child, Command
from infra.embedded.guard import Guard
from infra.embedded.ports import LOOPBACK, free_port

NAMES = ("victoria-metrics", "prometheus")
PARSES = "snappy and protobuf, every label of every sample, by HTTP"


@dataclass(frozen=True)
class Peer:
    """A program that stores samples."""

    name: str
    path: str
    version: str


def find(name: str, chosen: Mapping[str, str]) -> Peer | None:
    """The build of ``--peer``, else the one on PATH, else None."""
    path = chosen.get(name) or shutil.which(name)
    if path is None:
        return None
    for option in ("--version", "-version"):
        told = subprocess.run([path, option], capture_output=True, text=True, check=False, timeout=30)
        text = told.stdout + told.stderr
        if found := re.search(r"\b(\d+\.\d+\.\d+[\w.+~-]*)", text):
            return Peer(name, path, found[1])
    return Peer(name, path, _packaged(path) or "unknown")


def _packaged(path: str) -> str:
    """The version of the Debian package that owns a program that does not tell its own."""
    if shutil.which("dpkg-query") is None:
        return ""
    owner = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False, timeout=30)
    package = owner.stdout.partition(":")[0]
    if owner.returncode != 0 or not package:
        return ""
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout


class Running:
    """A started peer."""

    def __init__(self, peer: Peer, child: Child, port: int, folder: Path) -> None:
        self.peer, self.child, self.port, self.folder = peer, child, port, folder
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=120)

    @property
    def pid(self) -> int:
        return self.child.pid

    def close(self) -> None:
        """End the connection that `write` keeps open."""
        self._connection.close()

    def write(self, body: bytes) -> None:
        """One remote_write request; raises RuntimeError with the answer when it is refused."""
        self._connection.request("POST", "/api/v1/write", body, HEADERS)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status // 100 != 2:
            raise RuntimeError(f"{self.peer.name} answers {answer.status}: {text[:300]!r}")

    def get(self, path: str, method: str = "GET") -> str:
        """Any other request."""
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            text: str = answer.read().decode()
        return text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of its own metric's series with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.get("/metrics").splitlines() if re.split(r"[{ ]", line)[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))

    def merging(self) -> bool:
        """Whether it merges parts now."""
        return self.peer.name == NAMES[0] and self.metric("vm_active_merges") > 0

    def stored(self) -> int:
        """Samples that it says it took."""
        if self.peer.name == NAMES[0]:
            return int(self.metric("vm_rows_inserted_total", type="promremotewrite"))
        return int(self.metric("prometheus_tsdb_head_samples_appended_total"))


@contextmanager
def running(peer: Peer, folder: Path, guard: Guard) -> Iterator[Running]:
    """Start it with its own defaults, storing under ``folder``."""
    folder.mkdir(parents=True)
    port = free_port()
    command = Command(peer.name, _arguments(peer, folder, port), folder / "log", folder)
    child = Child(command, guard)
    started = Running(peer, child, port, folder)
    try:
        until(lambda: _answers(started), 60.0, f"{peer.name} answers")
        yield started
    finally:
        started.close()
        child.stop(30.0)


def _arguments(peer: Peer, folder: Path, port: int) -> tuple[str, ...]:
    if peer.name == NAMES[0]:
        return (
            peer.path,
            f"-storageDataPath={folder}/data",
            f"-httpListenAddr={LOOPBACK}:{port}",
            "-retentionPeriod=1y",
            "-loggerLevel=ERROR",
        )
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    return (
        peer.path,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--log.level=error",
    )


def _answers(started: Running) -> bool:
    if started.child.exit_code() is not None:
        raise RuntimeError(f"{started.peer.name} ended: {(started.folder / 'log').read_text()[-500:]}")
    try:
        started.get("/-/ready" if started.peer.name == "prometheus" else "/health")
    except urllib.error.HTTPError as error:
        error.close()  # it starts
        return False
    except OSError:
        return False
    return True


def store(
    started: Running, shape: Shape, ticks: int, start_ms: int, merges_seconds: float = MERGES_SECONDS
) -> dict[str, Any]:
    """Send ticks [0, ticks) and measure: the first tick, which registers the series, apart from the rest.

    At least ``merges_seconds`` of what the server does afterwards are counted.
    """
    requests = Requests(Stream(recorded.load(), shape), start_ms)
    step_ms = int(shape.interval_seconds * 1000)
    meter = Meter({"server": started.pid})
    first, count = _send(started, requests, range(1), start_ms, step_ms)
    registration = meter.read()
    meter = Meter({"server": started.pid})
    begun = time.monotonic()
    samples, more = _send(started, requests, range(1, ticks), start_ms, step_ms)
    seconds = time.monotonic() - begun
    settle(started.pid, started.merging, at_least=merges_seconds)
    steady = meter.read()
    stored = started.stored()
    return {
        "name": started.peer.name,
        "version": started.peer.version,
        "parses": PARSES,
        "samples": samples,
        "requests": count + more,
        "cpu_seconds": {"server": steady["server"]},
        "samples_per_cpu_second": samples / max(steady["server"], LEAST_SECONDS),
        "registration_us_per_series": registration["server"] / first * 1e6,
        "samples_per_second": samples / seconds,
        "peak_bytes": {"server": peak_bytes(started.pid)},
        "exact": stored == first + samples,
        "stored": stored,
    }


def _send(started: Running, requests: Requests, ticks: range, start_ms: int, step_ms: int) -> tuple[int, int]:
    samples = count = 0
    for tick in ticks:
        for body, number in requests.tick(tick, start_ms + tick * step_ms):
            started.write(body)
            samples += number
            count += 1
    return samples, count
