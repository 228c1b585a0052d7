"""The jars' lock, and that what does not match it is not used."""

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest

from fleetpulse.errors import FatalError
from infra.embedded import jars
from infra.embedded.progress import Progress

COORDINATE = "org.example:thing:1.0"
GOOD = b"the jar that was locked"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository of our own, which jgo is told of in its configuration file."""
    root = tmp_path / "repository"
    place = root / "org" / "example" / "thing" / "1.0"
    place.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = tmp_path / "jgo.conf"
    configuration.write_text(f"[repositories]\nours = http://127.0.0.1:{server.server_address[1]}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
    lock = tmp_path / "lock"
    lock.write_text(f"# a lock\n{hashlib.sha256(GOOD).hexdigest()} {len(GOOD)} {COORDINATE}\n")
    monkeypatch.setattr(jars, "LOCK_FILE", lock)
    yield place / "thing-1.0.jar"
    server.shutdown()
    server.server_close()


def test_the_committed_lock_has_a_hash_for_every_jar_and_names_no_host() -> None:
    locked = jars.read_lock()
    assert len(locked) == 45
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in locked)
    assert len({jar.filename for jar in locked}) == len(locked)
    assert "//" not in jars.LOCK_FILE.read_text()
    coordinates = {jar.coordinate for jar in locked}
    assert set(jars.COORDINATES) <= coordinates


def test_a_jar_is_fetched_verified_and_not_fetched_again(repository: Path, tmp_path: Path) -> None:
    repository.write_bytes(GOOD)
    out = StringIO()
    folder = jars.fetch(tmp_path / "jars", Progress(out))
    assert (folder / "thing-1.0.jar").read_bytes() == GOOD
    assert "fetched and verified 1" in out.getvalue()
    repository.unlink()
    jars.fetch(tmp_path / "jars", Progress(out))
    assert [path.name for path in folder.iterdir()] == ["thing-1.0.jar"]


def test_a_jar_with_another_hash_is_refused(repository: Path, tmp_path: Path) -> None:
    repository.write_bytes(b"something else entirely")
    with pytest.raises(FatalError, match=r"org\.example:thing:1\.0 has sha256 .* the lock says"):
        jars.fetch(tmp_path / "jars", Progress(StringIO()))
    assert list((tmp_path / "jars").iterdir()) == []


def test_a_damaged_jar_is_fetched_again_and_a_stray_one_removed(repository: Path, tmp_path: Path) -> None:
    repository.write_bytes(GOOD)
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "thing-1.0.jar").write_bytes(GOOD[:-1] + b"?")
    (folder / "thing-0.9.jar").write_bytes(b"of an older lock")
    jars.fetch(folder, Progress(StringIO()))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"thing-1.0.jar": GOOD}
