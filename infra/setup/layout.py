"""Where things are in a clone: everything that `make` writes stays below ROOT."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
VENV = ROOT / ".venv"
NODE = ROOT / ".node"
JARS = BUILD / "jars"
LOCKS = ROOT / "infra" / "lock"
WEB = ROOT / "web"
PAGE = ROOT / "api" / "page"
LOG = BUILD / "setup.log"

# In this order a later lock has only what the earlier ones lack.
CLONE_LOCKS = ("services", "embedded", "dev")


def lock(name: str) -> Path:
    """The hashed requirements of one environment."""
    return LOCKS / f"{name}.txt"


def environment() -> dict[str, str]:
    """The environment of what setup starts: no foreign Python paths, and every cache but pip's inside the clone."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{NODE / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "npm_config_cache": str(BUILD / "npm"),
        "FLEETPULSE_EMBEDDED_JARS_DIR": str(JARS),
    }
