"""The `fleetpulse` command: a table of subcommands, each imported only when it is called."""

import importlib
import sys
from collections.abc import Callable, Sequence

from fleetpulse import __version__
from fleetpulse.errors import FleetpulseError

# name → (module:function taking the remaining arguments and returning an exit code, one sentence)
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("infra.embedded.up:main", "Run the whole system on this machine, in the foreground."),
    "status": ("infra.embedded.status:main", "Show what runs in a data folder and whether it is healthy."),
    "logs": ("infra.embedded.logs:main", "Show one process's log file; -f follows it."),
    "reset": ("infra.embedded.reset:main", "Ask, then remove a data folder's data."),
    "grafana": ("infra.embedded.grafana:main", "Print what Grafana's ClickHouse data source needs."),
    "settings": ("fleetpulse.settings_table:main", "Print every setting with its value, type and meaning."),
    "agent": ("producers.agent.main:main", "Publish this machine's metrics."),
    "simulate": ("producers.simulator.main:main", "Publish the metrics of a simulated fleet."),
    "ingest": ("stream_processors.ingest.main:main", "Store raw samples and one-minute rollups in ClickHouse."),
    "rules": ("fleetpulse.rules_command:main", "Evaluate recording and alerting rules; `rules --help` says more."),
    "history": ("stream_processors.history.main:main", "Store alert events in ClickHouse."),
    "notify": ("stream_processors.notify.main:main", "Tell receivers of alerts; `notify check FILE`."),
    "alerts": ("stream_processors.alerts.command:main", "Follow the transitions of alerts: `alerts tail`."),
    "silence": (
        "fleetpulse.silence_command:main",
        "Silence, acknowledge, plan maintenance; list and end what is quiet.",
    ),
    "hosts": ("fleetpulse.hosts_command:main", "End the alerts of hosts that are gone for good: `hosts forget HOST`."),
    "dead": ("stream_processors.dead_command:main", "Dead letters: list, show, replay; resume paused partitions."),
    "verify": ("fleetpulse.storage.verify_command:main", "Recompute the rollups from the raw samples and compare."),
    "audit": (
        "stream_processors.audit.command:main",
        "Compare what was sent with what is stored, by host and hour; exit code 1 when something is unexplained.",
    ),
    "api": ("api.main:main", "Serve the HTTP API and the page."),
    "topics": ("fleetpulse.topics_command:main", "Create or check the Kafka topics."),
    "migrate": ("fleetpulse.storage.migrate:main", "Create or migrate the ClickHouse tables and views."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; a FleetpulseError becomes one sentence on standard error and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"fleetpulse {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        print(f"fleetpulse: there is no command {arguments[0]!r}; `fleetpulse --help` lists them", file=sys.stderr)
        return 2
    try:
        return load_command(COMMANDS[arguments[0]][0])(arguments[1:])
    except FleetpulseError as error:
        print(f"fleetpulse {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


def load_command(target: str) -> Callable[[list[str]], int]:
    """The function that ``module:function`` names; FleetpulseError when a package is missing."""
    module, _, function = target.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise FleetpulseError(
            f"this installation lacks the package {error.name!r}; "
            "install fleetpulse with the extra that has it: processors, api or embedded"
        ) from error
    command: Callable[[list[str]], int] = getattr(loaded, function)
    return command


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {sentence}" for name, (_, sentence) in COMMANDS.items()]
    return "\n".join(["usage: fleetpulse COMMAND [options]", "", *lines, "", "fleetpulse COMMAND --help says more."])


if __name__ == "__main__":
    sys.exit(main())
