"""`fleetpulse rules`: evaluate recording and alerting rules on the stream; with a sub-command, work on rules."""

import argparse

from fleetpulse.arguments import Parser
from fleetpulse.cli import load_command

# name → (module:function taking the remaining arguments and returning an exit code, one sentence)
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("fleetpulse.rules.check:check", "Say where each rule of the files runs, or everything that is wrong."),
    "apply": ("fleetpulse.rule_files.apply:apply", "Make the groups of rule files what is in force."),
    "diff": ("fleetpulse.rule_files.apply:diff", "Show what apply would change."),
    "export": ("fleetpulse.rule_files.shown:export", "Print the rules in force as rule files."),
    "list": ("fleetpulse.rule_files.shown:list_rules", "List the rules in force, with state and owner."),
    "test": ("fleetpulse.rules.testing.command:main", "Run unit tests of rules; promtool's files work as they are."),
    "explain": ("fleetpulse.hindsight.explain_command:main", "Say why a rule fired for a host, or what held it back."),
    "backtest": ("fleetpulse.hindsight.backtest_command:main", "Run a rule over stored history."),
}


def main(argv: list[str]) -> int:
    """Run a sub-command; without one, the rules worker until SIGTERM or SIGINT."""
    listed = "\n".join(f"  {name:<9} {sentence}" for name, (_, sentence) in COMMANDS.items())
    parser = Parser(
        prog="fleetpulse rules",
        description="Evaluate recording and alerting rules on the stream; with a sub-command,\nwork on rules.",
        epilog=f"sub-commands:\n{listed}\n\n`fleetpulse rules COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        example="fleetpulse rules list",
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="none: run the worker")
    arguments = parser.parse_args(argv[:1])
    if arguments.command is None:
        return load_command("stream_processors.rules.main:run")([])
    return load_command(COMMANDS[arguments.command][0])(argv[1:])
