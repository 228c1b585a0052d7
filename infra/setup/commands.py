"""The commands behind the Makefile's targets."""

import argparse
import fcntl
import platform
import shutil
import sys

from infra.setup import layout, preflight
from infra.setup.progress import Progress
from infra.setup.running import StepError
from infra.setup.stamps import Stamps
from infra.setup.steps import Step, all_steps

BUILT = (".venv", ".node", ".build", "build", "dist", "fleetpulse.egg-info", "api/page", "web/dist", "web/node_modules")
PACKAGES = ("fleetpulse", "producers", "stream_processors", "api", "infra", "tests", "bench")
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache")


def run(argv: list[str]) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.setup", description=__doc__, allow_abbrev=False)
    parser.add_argument("command", choices=("check", "install", "lock", "wheel", "clean"))
    command = parser.parse_args(argv).command
    if command == "clean":
        return clean()
    if command == "lock":
        from infra.setup.lock import write_locks

        write_locks()
        return 0
    code = install(check_only=command == "check")
    if command == "wheel" and code == 0:
        from infra.setup.wheel import build_wheel

        print(build_wheel().relative_to(layout.ROOT))
    return code


def install(check_only: bool = False) -> int:
    """Check the machine and perform the steps whose stamps are not current."""
    layout.BUILD.mkdir(exist_ok=True)
    with (layout.BUILD / "running").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamps = Stamps(layout.BUILD / "stamps")
        steps = all_steps()
        due = [step for step in steps if not stamps.is_current(step.name, step.content(), step.products)]
        machine = preflight.this_machine(layout.ROOT)
        if check_only or due:
            found = preflight.problems(machine, sum(step.disk_bytes for step in due))
            print("\n".join(found) or _summary(machine), file=sys.stderr if found else sys.stdout, flush=True)
            if found:
                return 1
        try:
            if not check_only:
                _perform(steps, due, stamps)
        except StepError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
    return 0


def _perform(steps: list[Step], due: list[Step], stamps: Stamps) -> None:
    for number, step in enumerate(steps, start=1):
        # An earlier step may have changed what this one has: a new .venv is empty.
        if step in due or not stamps.is_current(step.name, step.content(), step.products):
            stamps.forget(step.name)
            progress = Progress(f"[{number}/{len(steps)}] {step.title}")
            progress.done(step.perform(progress))
            stamps.write(step.name, step.content())


def _summary(machine: preflight.Machine) -> str:
    memory = f"{machine.memory_bytes / preflight.GIB:.0f} GiB of memory" if machine.memory_bytes else "memory unknown"
    disk = f"{machine.free_disk_bytes / preflight.GIB:.0f} GiB of disk free"
    return (
        f"Python {platform.python_version()} ({machine.python}), {machine.system} {machine.machine}, {memory}, {disk}"
    )


def clean() -> int:
    """Remove what was built and installed; data (`.fleetpulse/`) stay."""
    for name in BUILT + CACHES:
        shutil.rmtree(layout.ROOT / name, ignore_errors=True)
    for folder in PACKAGES:
        for cache in list((layout.ROOT / folder).rglob("__pycache__")):
            shutil.rmtree(cache, ignore_errors=True)
    print("Removed what was built and installed; data in .fleetpulse/ stay.")
    return 0
