"""Where things lie in a data folder; its layout is decided here and nowhere else."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from fleetpulse import settings
from fleetpulse.errors import FatalError

MARKER = "README"
_MARKER_TEXT = "Data of Fleetpulse. `fleetpulse status` shows what runs here; `fleetpulse reset` removes it.\n"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folders and files under one root, which is absolute."""

    root: Path

    @classmethod
    def at(cls, root: Path | None = None) -> "DataFolder":
        """The folder of ``--data-dir``, else of ``FLEETPULSE_DATA_DIR``, else ``.fleetpulse``."""
        return cls((root or settings.data_dir()).expanduser().resolve())

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def clickhouse(self) -> Path:
        return self.root / "clickhouse"

    @property
    def api(self) -> Path:
        """The API's database; made by it (`api/store/engine.py`)."""
        return self.root / "api"

    @property
    def spool(self) -> Path:
        """Frames that wait for Kafka, a folder a producer; made by those (`fleetpulse/publish/claim.py`)."""
        return self.root / "spool"

    @property
    def temporary(self) -> Path:
        """For programs that insist on a temporary folder, such as Java."""
        return self.run / "tmp"

    @property
    def state_file(self) -> Path:
        """What runs here, written by `up`."""
        return self.run / "state.json"

    @property
    def env_file(self) -> Path:
        """Settings for other commands on the same folder, written by `up`; names no secret."""
        return self.run / "env"

    @property
    def lock_file(self) -> Path:
        """Locked by the `up` that owns the folder."""
        return self.run / "lock"

    def log_file(self, process: str) -> Path:
        """The log of one process."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the folders; raises FatalError when the file system refuses."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / MARKER).write_text(_MARKER_TEXT)
            for folder in (self.logs, self.run, self.secrets, self.kafka, self.clickhouse, self.temporary):
                folder.mkdir(exist_ok=True)
            self.secrets.chmod(0o700)
        except OSError as error:
            raise FatalError(f"the data folder {self.root} cannot be used: {error.strerror or error}") from error

    def empty_temporary(self) -> None:
        """Remove what programs that were killed left behind."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(exist_ok=True)
