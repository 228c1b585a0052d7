"""`make wheel`: dist/*.whl with the page inside, built with the environment's own setuptools."""

import shutil
import subprocess
import zipfile
from pathlib import Path

from infra.setup import layout

MUST_HAVE = ("api/page/index.html", "infra/embedded/kafka-jars.lock", "infra/rules/host.yaml", ".sql", ".json")


def build_wheel(dist: Path = layout.ROOT / "dist", python: Path = layout.VENV / "bin" / "python") -> Path:
    """Build the wheel into `dist`, emptied before, and return it.

    `python` has the locked pip and setuptools. Raises SystemExit when something that it must carry is not in it.
    """
    shutil.rmtree(layout.ROOT / "build", ignore_errors=True)  # setuptools would pack what an older build left there
    shutil.rmtree(dist, ignore_errors=True)
    options = ["--no-deps", "--no-build-isolation", "--no-input", "--quiet", "--wheel-dir", str(dist)]
    subprocess.run([python, "-m", "pip", "wheel", *options, layout.ROOT], check=True, env=layout.environment())
    shutil.rmtree(layout.ROOT / "build", ignore_errors=True)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    if missing := [ending for ending in MUST_HAVE if not any(name.endswith(ending) for name in names)]:
        raise SystemExit(f"{wheel.name} lacks {', '.join(missing)}: see [tool.setuptools] in pyproject.toml")
    return wheel
