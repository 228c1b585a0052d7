"""The rule files that a command line names: files, and folders with all that is below them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from fleetpulse.errors import RuleError
from fleetpulse.rules.fields import compose

_SUFFIXES = (".yaml", ".yml")


def named(path: Path) -> str:
    """The path as it names the file in the database: so run the command where the paths are the same for everybody."""
    return Path(os.path.normpath(path)).as_posix()


def read_files(paths: Iterable[Path]) -> list[dict[str, str]]:
    """``{"path": …, "text": …}`` of each file. Raises RuleError for what cannot be read, or when there is none."""
    found = {named(file): file for path in paths for file in _files_of(path)}
    return [{"path": name, "text": _text(file)} for name, file in found.items()]


def _files_of(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    below = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    files = [file for file in below if not _is_test(file)]
    if not files:
        raise RuleError("file", f"there is no rule file (*.yaml, *.yml) below {path}")
    return files


def _is_test(file: Path) -> bool:
    """Whether a file of a folder has tests of rules instead of rules."""
    try:
        tree = compose(str(file), _text(file))
    except RuleError:
        return False
    return isinstance(tree, yaml.MappingNode) and any(key.value == "rule_files" for key, _ in tree.value)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise RuleError(
            "file", f"the rule file {file} cannot be read: {(error.strerror or repr(error)).lower()}"
        ) from error
    except UnicodeDecodeError as error:
        raise RuleError("file", f"the rule file {file} cannot be read: it is not UTF-8 text") from error
