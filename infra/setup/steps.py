"""The set-up, step by step: what each is made from, what it makes, and how."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.setup import layout, packages
from infra.setup.progress import Progress, megabytes
from infra.setup.running import folder_bytes, run
from infra.setup.stamps import content_hash

JARS_LOCK = layout.ROOT / "infra" / "embedded" / "kafka-jars.lock"
PYPROJECT = layout.ROOT / "pyproject.toml"
NODE_MODULES = layout.WEB / "node_modules"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. It is done while the hash of its sources and facts is that of its stamp and its products exist.

    `disk_bytes` is what it needs free: what it leaves and what it unpacks on the way.
    """

    name: str
    title: str
    sources: tuple[Path, ...]
    facts: tuple[str, ...]
    products: tuple[Path, ...]
    disk_bytes: int
    perform: Callable[[Progress], str]

    def content(self) -> str:
        """The hash of what goes into the step."""
        return content_hash(self.sources, self.facts)


def all_steps() -> list[Step]:
    """Every step, in order."""
    place = (str(layout.ROOT), sys.version, sys.executable)
    clone_locks = tuple(layout.lock(name) for name in layout.CLONE_LOCKS)
    count, size = packages.locked(*layout.CLONE_LOCKS)
    node_size = packages.locked("node")[1]
    base = (layout.lock("build"),)
    venv, node = layout.VENV, layout.NODE
    steps = [
        Step("venv", "Python environment .venv", base, place, (venv / "bin/python",), 50_000_000, _venv),
        Step(
            "packages",
            f"Python packages ({count}, {megabytes(size)})",
            clone_locks + base,
            place,
            (venv / "bin/python",),
            1_700_000_000,
            _packages,
        ),
        Step("project", "Fleetpulse itself", (PYPROJECT,), place, (venv / "bin/fleetpulse",), 1_000_000, _project),
        Step("jars", "Kafka's jars", (JARS_LOCK,), (), (layout.JARS,), 250_000_000, _jars),
    ]
    if (layout.WEB / "package-lock.json").exists():
        steps += [
            Step(
                "node",
                f"Node, for building the page ({megabytes(node_size)})",
                (layout.lock("node"), *base),
                place,
                (node / "bin/npm",),
                350_000_000,
                _node,
            ),
            Step("npm", "The page's packages", _manifests(), place, (NODE_MODULES,), 400_000_000, _npm),
            Step("page", "The page", _web_sources(), place, (layout.PAGE / "index.html",), 10_000_000, _page),
        ]
    return steps


def _venv(progress: Progress) -> str:
    return _environment(layout.VENV, progress)


def _packages(progress: Progress) -> str:
    packages.install(layout.VENV / "bin" / "python", layout.CLONE_LOCKS, progress)
    return f"{megabytes(folder_bytes(layout.VENV))} on disk"


def _project(progress: Progress) -> str:
    python = layout.VENV / "bin" / "python"
    options = ["--no-deps", "--no-build-isolation", "--no-input", "--editable", str(layout.ROOT)]
    run([str(python), "-m", "pip", "install", *options], progress, grows=layout.VENV, read=lambda line: None)
    return "installed, editable"


def _jars(progress: Progress) -> str:
    layout.JARS.mkdir(parents=True, exist_ok=True)
    command = [str(layout.VENV / "bin" / "python"), "-P", "-m", "infra.embedded.jars"]
    run(command, progress, grows=layout.JARS, read=lambda line: line.partition(": ")[2].strip() or None)
    return f"{megabytes(folder_bytes(layout.JARS))} on disk"


def _node(progress: Progress) -> str:
    _environment(layout.NODE, progress)
    packages.install(layout.NODE / "bin" / "python", ("node",), progress)
    return f"{megabytes(folder_bytes(layout.NODE))} on disk"


def _npm(progress: Progress) -> str:
    command = [str(layout.NODE / "bin" / "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    run(command, progress, grows=NODE_MODULES, read=lambda line: None, cwd=layout.WEB)
    return f"{megabytes(folder_bytes(NODE_MODULES))} on disk"


def _page(progress: Progress) -> str:
    built = layout.WEB / "dist"
    command = [str(layout.NODE / "bin" / "npm"), "run", "build"]
    run(command, progress, grows=built, read=lambda line: None, cwd=layout.WEB)
    shutil.rmtree(layout.PAGE, ignore_errors=True)
    shutil.copytree(built, layout.PAGE)
    return f"{megabytes(folder_bytes(layout.PAGE))} in api/page"


def _environment(folder: Path, progress: Progress) -> str:
    """A fresh virtual environment with the locked pip and setuptools."""
    run([sys.executable, "-m", "venv", "--clear", folder], progress, grows=folder, read=lambda line: None)
    packages.install(folder / "bin" / "python", ("build",), progress)
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}"


def _manifests() -> tuple[Path, ...]:
    return (layout.WEB / "package.json", layout.WEB / "package-lock.json")


def _web_sources() -> tuple[Path, ...]:
    """All that the page is built from: what is in web/ but packages, output and test results."""
    left_out = {"node_modules", "dist", "coverage", "test-results", "screenshots"}
    return tuple(sorted(path for path in layout.WEB.iterdir() if path.name not in left_out))
