"""Random passwords of the embedded ClickHouse's users: written once, readable by the owner only."""

import os
import secrets
from pathlib import Path

from infra.embedded.folder import DataFolder


def password_file(folder: DataFolder, user: str) -> Path:
    """The file with the user's password; made with a new password when absent."""
    path = folder.secrets / f"clickhouse-{user}"
    try:
        _write_private(path, secrets.token_urlsafe(24), exclusive=True)
    except FileExistsError:
        path.chmod(0o600)
    return path


def url_file(folder: DataFolder, user: str, database: str, port: int) -> Path:
    """The file with the URL that a process of ours uses, password included; rewritten as the port may change."""
    path = folder.secrets / f"clickhouse-{user}.url"
    password = password_file(folder, user).read_text()
    _write_private(path, f"clickhouse://{user}:{password}@127.0.0.1:{port}/{database}", exclusive=False)
    return path


def _write_private(path: Path, text: str, *, exclusive: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if exclusive else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
