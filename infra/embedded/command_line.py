"""How a person at this terminal calls `fleetpulse` on the folder in question."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from fleetpulse.settings import DATA_DIR_VARIABLE, data_dir
from infra.embedded.folder import DataFolder


def call(arguments: str, folder: DataFolder) -> str:
    """The line to type, e.g. ``.venv/bin/fleetpulse logs ingest``."""
    found = data_dir().expanduser().resolve() == folder.root
    prefix = "" if found else f"{DATA_DIR_VARIABLE}={shlex.quote(str(folder.root))} "
    return f"{prefix}{_program()} {arguments}"


def _program() -> str:
    ours = Path(sys.executable).parent / "fleetpulse"
    on_path = shutil.which("fleetpulse")
    if on_path is not None and os.path.realpath(on_path) == os.path.realpath(ours):
        return "fleetpulse"
    if not ours.exists():
        return f"{shlex.quote(sys.executable)} -P -m fleetpulse"
    try:
        return shlex.quote(str(ours.relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(ours))
