"""`sustained`: five minutes at half a million samples a second, everything on this machine, and an exact audit."""

from bench.goals import Goal
from bench.live import shape_of
from bench.report import Options, Report
from bench.soak import soak

RATE = 500_000
SECONDS = 300.0
INTERVAL_SECONDS = 2.0  # a million series


def run(options: Options) -> Report:
    """Five minutes; with ``--samples`` so many samples at this rate."""
    seconds = options.samples / RATE if options.samples else SECONDS
    report = soak(options, "sustained", shape_of(RATE, INTERVAL_SECONDS), seconds)
    audit = report.figures["audit"]
    report.goals = [
        Goal("samples a second", ">=", 0.98 * RATE, report.figures["measured_rate"]),
        Goal("oldest sample not yet processed, most", "<=", 10.0, report.figures["most_lag_seconds"], "s"),
        Goal("audit's exit code", "==", 0, audit["exit_code"] if audit else None),
    ]
    return report
