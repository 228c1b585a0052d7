"""`freshness`: from a sample to a query that shows it and to the alert event that it causes, under load."""

from collections.abc import Callable
from typing import Any

from bench.goals import Goal
from bench.live import Fleet, fleet, shape_of
from bench.machine import load
from bench.probe import Probes, percentiles, rule_file
from bench.report import Options, Report, mib
from bench.servers import Servers
from fleetpulse.rules.load import shipped_packs

RATES = (10_000, 100_000, 200_000)
RATED = 200_000
SECONDS = 60.0


def run(options: Options) -> Report:
    """Every rate for a minute; with ``--samples`` only the rates up to so many a second."""
    report = Report("freshness")
    rates = [rate for rate in RATES if options.samples is None or rate <= options.samples]
    with Servers(options.folder) as servers:
        files = ",".join(map(str, [*shipped_packs(), rule_file(options.folder)]))
        cases = [at_rate(servers, rate, files) for rate in rates]
    report.figures = {"cases": cases}
    head = (
        "samples/s", "series", "sent", "seen", "query p50 s", "p99 s", "events", "event p50 s", "p99 s",
        "cores", "ingest MiB", "rules MiB", "load",
    )  # fmt: skip
    report.tables = [("Seconds from a sample", head, [_row(case) for case in cases])]
    rated: dict[str, Any] = next((case for case in cases if case["rate"] == RATED), {})
    event, query = rated.get("to_event", {}).get("p99"), rated.get("to_query", {}).get("p99")
    report.goals = [
        Goal("sample to alert event, p99, at 200k samples/s", "<=", 1.0, event, "s"),
        Goal("sample to visible in a query, p99, at 200k samples/s", "<=", 3.0, query, "s"),
        Goal("probes never seen in a query or as an event", "==", 0, sum(case["lost"] for case in cases)),
    ]
    report.notes = [
        "Every host has 100 series and an interval of 10 s. A probe is a sample of its own, handed to Kafka's client "
        "when it is stamped; a query looks every 50 ms with the public view `metrics_of`, and its own time is part of "
        "the delay. Every probe crosses an alert's threshold; its event counts once it can be read as committed.",
        "The load, the queries and every process share the cores.",
    ]
    return report


def at_rate(servers: Servers, rate: int, rule_files: str, then: Callable[[Fleet], Any] | None = None) -> dict[str, Any]:
    """The delays of a minute's probes beside so many samples a second; raises TimeoutError when it cannot keep up.

    `then` is called with the fleet while it still sends; what it gives is under ``then``.
    """
    shape = shape_of(rate)
    with fleet(servers, shape, SECONDS + 120.0, {"RULES_FILES": rule_files}) as running:
        probes = Probes(running.topics, running.database.url_of("grafana"))
        meter = running.meter()
        sent = probes.run(SECONDS)
        spent = meter.read()
        running.alive()
        seen = running.look()
        after = then(running) if then is not None else None
    wall = spent.pop("wall")
    return {
        "rate": rate,
        "series": shape.series,
        "sent": sent,
        "lost": 2 * sent - len(probes.to_query) - len(probes.to_event),
        "to_query": percentiles(probes.to_query),
        "to_event": percentiles(probes.to_event),
        "cores": {name: seconds / wall for name, seconds in spent.items()},
        "resident_bytes": seen["resident_bytes"],
        "load": load(),
        "then": after,
    }


def _row(case: dict[str, Any]) -> tuple[Any, ...]:
    query, event, memory = case["to_query"], case["to_event"], case["resident_bytes"]
    return (
        case["rate"], case["series"], case["sent"], query["count"], query["p50"], query["p99"], event["count"],
        event["p50"], event["p99"], sum(case["cores"].values()), mib(memory["ingest"]), mib(memory["rules"]),
        case["load"][0],
    )  # fmt: skip
