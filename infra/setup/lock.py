"""`make lock`: resolve pyproject.toml for every Python and platform at once and write the hashed locks.

One resolution, cut into one file an environment. The files name no registry: pip takes the configured one.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.setup import layout

# lock → what `uv export` is asked for; what an earlier part of the clone's environment has is left out of the later.
PARTS: dict[str, tuple[str, ...]] = {
    "build": ("--only-group", "build"),
    "services": ("--no-default-groups", "--extra", "processors", "--extra", "api"),
    "embedded": ("--no-default-groups", "--extra", "embedded"),
    "dev": ("--only-group", "dev"),
    "node": ("--only-group", "node"),
    "lock": ("--only-group", "lock"),
}
HEADER = (
    "# Written by `make lock` from pyproject.toml ({}). Each size is that of the largest wheel for Linux on x86_64.\n"
)
_NAME = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")


def write_locks() -> None:
    """Resolve and write every lock; uv itself comes from the lock named `lock`."""
    uv = _uv()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(layout.ROOT / name, folder)
        _call(uv, "lock", folder=folder)
        sizes = wheel_sizes(tomllib.loads(Path(folder, "uv.lock").read_text()))
        full = blocks(_export(uv, folder, ("--all-extras", "--all-groups")))
        earlier: set[str] = set()
        for part, options in PARTS.items():
            wanted = list(blocks(_export(uv, folder, options)))
            if part in layout.CLONE_LOCKS:
                wanted = [key for key in wanted if key not in earlier]
                earlier.update(wanted)
            text = "".join(f"# {sizes.get(key, 0)} bytes\n{full[key]}" for key in sorted(wanted))
            layout.lock(part).write_text(HEADER.format(part) + text)
            print(f"{layout.lock(part).relative_to(layout.ROOT)}: {len(wanted)} packages")


def blocks(text: str) -> dict[str, str]:
    """The requirements of an exported lock: ``name==version`` → its lines with the hashes."""
    found: dict[str, str] = {}
    key = ""
    for line in text.splitlines(keepends=True):
        match = _NAME.match(line)
        if match:
            key = f"{match[1]}=={match[2]}"
        if key and not line.startswith("#"):
            found[key] = found.get(key, "") + line
    return found


def wheel_sizes(resolution: Mapping[str, Any]) -> dict[str, int]:
    """``name==version`` → bytes of its largest wheel that Linux on x86_64 may install."""
    sizes = {}
    for package in resolution["package"]:
        fitting = [
            wheel["size"]
            for wheel in package.get("wheels", [])
            if re.search(r"manylinux\w*x86_64|linux_x86_64|none-any", wheel["url"].rsplit("/", 1)[-1])
        ]
        sizes[f"{package['name']}=={package['version']}"] = max(fitting, default=0)
    return sizes


def _uv() -> Path:
    folder = layout.BUILD / "lock"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = ("-m", "pip", "install", "--quiet", "--require-hashes", "-r", layout.lock("lock"))
    subprocess.run([python, *install], check=True, env=layout.environment())
    return folder / "bin" / "uv"


def _export(uv: Path, folder: str, options: tuple[str, ...]) -> str:
    return _call(uv, "export", "--frozen", "--no-emit-project", "--no-header", "--no-annotate", *options, folder=folder)


def _call(uv: Path, *arguments: str, folder: str) -> str:
    command = [str(uv), "--quiet", "--cache-dir", str(layout.BUILD / "uv"), *arguments]
    result = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout
