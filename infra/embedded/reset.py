"""`fleetpulse reset`: ask, then remove the data, logs and secrets of a data folder."""

import argparse
import shutil
from pathlib import Path

from fleetpulse.errors import FatalError
from infra.embedded import state
from infra.embedded.folder import MARKER, DataFolder


def main(argv: list[str]) -> int:
    """0 when the data are gone (or were never there), 1 when the answer was no."""
    parser = argparse.ArgumentParser(prog="fleetpulse reset", description=__doc__, allow_abbrev=False)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--data-dir", type=Path, help="the data folder (default: .fleetpulse)")
    arguments = parser.parse_args(argv)
    folder = DataFolder.at(arguments.data_dir)
    if not (folder.root / MARKER).is_file():
        print(f"there are no data of Fleetpulse in {folder.root}")
        return 0
    if state.is_owned(folder):
        raise FatalError(f"Fleetpulse runs on {folder.root}: stop it first (Ctrl-C where `fleetpulse up` runs)")
    state.wait_for_leftovers(folder)
    parts = [part for part in _parts(folder) if part.exists()]
    print(f"In {folder.root}:")
    for part in parts:
        print(f"  {part.name:<12} {_bytes_in(part) / 1e6:>10,.1f} MB")
    if not arguments.yes and not _confirmed():
        print("Nothing was removed.")
        return 1
    for part in parts:
        shutil.rmtree(part)
    (folder.root / MARKER).unlink()
    if not any(folder.root.iterdir()):
        folder.root.rmdir()
    print("Removed.")
    return 0


def _parts(folder: DataFolder) -> tuple[Path, ...]:
    """Only what Fleetpulse made: whatever else lies in the folder stays."""
    return folder.kafka, folder.clickhouse, folder.api, folder.spool, folder.logs, folder.secrets, folder.run


def _confirmed() -> bool:
    try:
        return input("Remove all of it? There is no way back. [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
