"""Passwords are random, written once, and readable by their owner only."""

import stat
from pathlib import Path

from infra.embedded.folder import DataFolder
from infra.embedded.passwords import password_file, url_file


def test_a_password_is_written_once_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    first = password_file(folder, "grafana")
    password = first.read_text()
    first.chmod(0o644)  # a careless restore of a backup
    assert password_file(folder, "grafana").read_text() == password
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o700
    assert password_file(folder, "api").read_text() != password


def test_the_url_follows_the_port(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    password = password_file(folder, "api").read_text()
    for port in (9000, 19000):
        path = url_file(folder, "api", "fleetpulse", port)
        assert path.read_text() == f"clickhouse://api:{password}@127.0.0.1:{port}/fleetpulse"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
