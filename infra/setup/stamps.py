"""Which steps are done: a file per step with the hash of all that went into it."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def content_hash(files: Iterable[Path], facts: Iterable[str] = ()) -> str:
    """One hash of the facts, and of the files' names and contents; a folder stands for the files in it."""
    digest = hashlib.sha256(json.dumps(list(facts)).encode())
    for path in files:
        for file in sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]:
            content = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "absent"
            digest.update(f"{file.relative_to(path.parent)} {content}\n".encode())
    return digest.hexdigest()


class Stamps:
    """The stamps in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_current(self, step: str, content: str, products: Iterable[Path]) -> bool:
        """Whether the step ran with this content and what it made still exists."""
        stamp = self._folder / step
        return stamp.exists() and stamp.read_text() == content and all(product.exists() for product in products)

    def write(self, step: str, content: str) -> None:
        """Remember that the step is done."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / step).write_text(content)

    def forget(self, step: str) -> None:
        """A step that is about to run is not done, whatever becomes of it."""
        (self._folder / step).unlink(missing_ok=True)
