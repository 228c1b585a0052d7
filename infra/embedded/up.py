"""`fleetpulse up`: the whole system on this machine, in the foreground, until Ctrl-C."""

import argparse
import os
import threading
import time
from pathlib import Path

from fleetpulse import __version__, settings
from fleetpulse.settings import DATA_DIR_VARIABLE, PREFIX, EmbeddedSettings
from fleetpulse.settings_table import unknown_variables
from infra.embedded import addresses, jars, state
from infra.embedded.command_line import call
from infra.embedded.display import REFRESH_SECONDS, Screen, line, welcome
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.journal import Journal, Observer
from infra.embedded.memory import resident_bytes
from infra.embedded.plan import Plan
from infra.embedded.progress import Progress
from infra.embedded.signals import stop_on_signals
from infra.embedded.supervisor import StopRequested, Supervisor

CHECK_SECONDS = 0.25


def main(argv: list[str]) -> int:
    """Run until asked to stop; 0 then. Raises FatalError when the system cannot be started."""
    arguments = _parse(argv)
    folder = DataFolder.at(arguments.data_dir)
    folder.create()
    screen = Screen(Progress())
    with stop_on_signals() as stop_requested, state.own(folder):
        state.wait_for_leftovers(folder)
        state.remove(folder)
        folder.empty_temporary()
        plan = _plan(folder, arguments, screen)
        return _run(plan, screen, stop_requested)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleetpulse up", description=__doc__, allow_abbrev=False)
    parser.add_argument("--data-dir", type=Path, help="where data, logs and secrets live (default: .fleetpulse)")
    parser.add_argument(
        "--ports", choices=("fixed", "auto"), default="fixed", help="auto: a free port where the usual one is in use"
    )
    parser.add_argument("--simulate", type=int, default=0, metavar="N", help="also publish N simulated hosts")
    parser.add_argument("--no-agent", action="store_true", help="do not watch this machine")
    arguments = parser.parse_args(argv)
    if arguments.simulate < 0:
        parser.error("--simulate needs a number of hosts, 0 or more")
    return arguments


def _plan(folder: DataFolder, arguments: argparse.Namespace, screen: Screen) -> Plan:
    ours = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    ours[DATA_DIR_VARIABLE] = str(folder.root)
    for problem in unknown_variables():
        screen.tell(f"! {problem}; it is ignored")
    wanted = addresses.wanted(ours)
    return Plan(
        folder=folder,
        addresses=addresses.chosen(wanted, auto=arguments.ports == "auto"),
        environ=ours,
        options=settings.load(EmbeddedSettings, ours),
        jars=jars.default_folder(folder),
        agent=not arguments.no_agent,
        simulate=arguments.simulate,
    )


def _run(plan: Plan, screen: Screen, stop_requested: threading.Event) -> int:
    started = time.monotonic()
    screen.tell(f"Fleetpulse {__version__}, data in {plan.folder.root}")
    if plan.addresses.kafka is not None:
        jars.fetch(plan.jars, screen.progress)
    guard = Guard(remove=(plan.folder.state_file, plan.folder.env_file))
    journal = Journal(plan, guard)
    supervisor = Supervisor(
        plan.services(),
        guard,
        stop_requested,
        screen,
        changed=lambda running: journal.write(running),
        log_command=lambda name: call(f"logs {name}", plan.folder),
    )
    try:
        state.write_env(plan.folder, plan.shared_environment())
        supervisor.start()
        shown = plan.shown_addresses()
        screen.tell(welcome(shown, lambda text: call(text, plan.folder), time.monotonic() - started))
        _watch(supervisor, journal, screen, stop_requested)
    except StopRequested:  # before everything ran; what did is stopped below
        pass
    finally:
        screen.status("")
        begin = time.monotonic()
        supervisor.stop()
        guard.close()
        state.remove(plan.folder)
        seconds = time.monotonic() - begin
        screen.status("")
        screen.tell(f"Everything has stopped, in {seconds:.1f} s. Data stay in {plan.folder.root}.")
    return 0


def _watch(supervisor: Supervisor, journal: Journal, screen: Screen, stop_requested: threading.Event) -> None:
    refresh_at = 0.0
    with Observer(supervisor.running) as observer:
        while not stop_requested.wait(CHECK_SECONDS):
            supervisor.check()
            latest = observer.latest()
            if latest is not None and time.monotonic() >= refresh_at:
                refresh_at = time.monotonic() + REFRESH_SECONDS
                reading, rate = latest
                pids = [one.pid for one in supervisor.running if one.pid is not None]
                screen.status(line(reading, rate, len(pids), sum(map(resident_bytes, pids))))
                journal.write(supervisor.running, rate)
