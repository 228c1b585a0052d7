"""``python -m bench NAME… [--json FILE] [--peer victoria-metrics=PATH] [--samples N]``; ``all`` for every one."""

import argparse
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from bench.machine import machine
from bench.report import Options, Report, write

NAMES = ("ingest", "storage", "freshness", "engine", "growth", "rules", "soak", "sustained", "takeover")


def main(argv: list[str]) -> int:
    """Run them one after the other; exit 1 when a goal was not met."""
    arguments = _parse(argv)
    names = NAMES if arguments.names == ["all"] else arguments.names
    told, met = [], True
    for name in names:
        facts = machine()
        report = _run(name, arguments)
        print(report.as_text(facts), end="\n\n", flush=True)
        told.append(report.as_json(facts))
        met = met and all(goal.met for goal in report.goals)
        if arguments.json:
            write(arguments.json, told)
    return 0 if met else 1


def _run(name: str, arguments: argparse.Namespace) -> Report:
    folder = Path(tempfile.mkdtemp(prefix=f"fleetpulse-bench-{name}-"))
    try:
        options = Options(folder, arguments.samples, dict(arguments.peer))
        report: Report = importlib.import_module(f"bench.{name}").run(options)
        return report
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME", help=f"{', '.join(NAMES)}, all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, machine, peers and goals there")
    parser.add_argument("--samples", type=_count, metavar="N", help="about so many samples (also 2M, 20k)")
    parser.add_argument(
        "--peer", type=_peer, action="append", default=[], metavar="NAME=PATH", help="another build of a peer"
    )
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    units = {"k": 1_000, "M": 1_000_000}
    number = int(float(text[:-1]) * units[text[-1]]) if text[-1:] in units else int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _peer(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=PATH of a program")
    return name, path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
