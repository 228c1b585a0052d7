"""`ingest`: samples stored, rolled up and evaluated per CPU-second, beside what stores the same samples elsewhere."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench import ours, peers
from bench.goals import Goal, ratio
from bench.report import Options, Report, mib
from bench.servers import Servers
from bench.stream import Shape, ticks_of

DEFAULT_SAMPLES = 20_000_000
SERIES_PER_HOST = 100
SERIES = (50_000, 200_000)
LEAST_SAMPLES_A_SERIES = 100
AGENT_SHARE = 4  # frames of one host cost more: a quarter of the samples tells as much
PROMETHEUS_SAMPLES = 4_000_000
VICTORIA, PROMETHEUS = peers.NAMES


def run(options: Options) -> Report:
    """Every case of ours, then the peers, each on the same stream."""
    samples = options.samples or DEFAULT_SAMPLES
    shapes = _shapes(samples)
    report = Report("ingest")
    cases = []
    with Servers(options.folder) as servers:
        cases += [_case(servers, shape, samples, agents=False) for shape in shapes]
        cases.append(_case(servers, shapes[0], samples // AGENT_SHARE, agents=True))
        others = [_peer(servers, name, shapes, samples, options, report) for name in peers.NAMES]
    report.figures = {"ours": cases, "peers": [one for found in others for one in found]}
    report.tables = _tables(report.figures)
    report.goals = _goals(report.figures)
    report.notes = _notes()
    return report


def _shapes(samples: int) -> list[Shape]:
    """50,000 and 200,000 series, or as many as leave each its least number of samples."""
    most = max(SERIES_PER_HOST, samples // LEAST_SAMPLES_A_SERIES)
    counts = sorted({min(count, most) for count in SERIES})
    return [Shape(max(1, count // SERIES_PER_HOST), SERIES_PER_HOST) for count in counts]


def _case(servers: Servers, shape: Shape, samples: int, agents: bool) -> dict[str, Any]:
    ticks = ticks_of(shape, samples)
    start_ms = ours.start_of(shape, ticks)
    base = ours.ingest_pass(servers, shape, ticks, start_ms, agents)
    rules, derived = ours.rules_pass(servers, shape, ticks, start_ms, agents)
    whole = ours.ingest_pass(servers, shape, ticks, start_ms, agents, str(derived))
    count, alone, both = base["samples"], base["cpu_seconds"], whole["cpu_seconds"]
    stored = alone["ingest"] + alone["clickhouse"]
    # The rules worker also read the first tick.
    evaluating = rules["cpu_seconds"]["rules"] * count / rules["samples"]
    evaluated = both["ingest"] + both["clickhouse"] + evaluating
    broker = both["broker"] + rules["cpu_seconds"]["broker_out"] * count / rules["samples"]
    return {
        "series": shape.series,
        "frames": "agent" if agents else "gateway",
        "samples": count,
        "samples_a_frame": count / base["frames"],
        "parses": ours.PARSES,
        "samples_per_cpu_second": {
            "stored": count / stored,
            "evaluated": count / evaluated,
            "with_broker": count / (evaluated + broker),
        },
        "samples_per_second": base["samples_per_second"],
        "registration_us_per_series": base["registration_us_per_series"],
        "peak_bytes": base["peak_bytes"] | rules["peak_bytes"],
        "exact": base["exact"] and whole["exact"],
        "audits": [found["audit"] and found["audit"]["exit_code"] for found in (base, whole)],
        "base": base,
        "rules": rules,
        "with_derived": whole,
    }


def _peer(
    servers: Servers, name: str, shapes: Sequence[Shape], samples: int, options: Options, report: Report
) -> list[dict[str, Any]]:
    peer = peers.find(name, options.peers)
    report.peers[name] = peer.version if peer else None
    if peer is None:
        return []
    found = []
    for shape in shapes:
        count = min(samples, PROMETHEUS_SAMPLES) if name == PROMETHEUS else samples
        ticks = ticks_of(shape, count)
        with peers.running(peer, options.folder / f"{name}-{shape.series}", servers.guard) as started:
            figures = peers.store(started, shape, ticks, ours.start_of(shape, ticks))
        found.append(figures | {"series": shape.series})
    return found


def _tables(figures: dict[str, Any]) -> list[tuple[str, Sequence[str], Sequence[Sequence[Any]]]]:
    head = (
        "what", "series", "samples", "per CPU-second", "per second", "register µs", "peak MiB", "exact", "parses",
    )  # fmt: skip
    rows = [row for case in figures["ours"] for row in _our_rows(case)]
    rows += [_peer_row(other) for other in figures["peers"]]
    return [("Samples per CPU-second, all of the processes' CPU until their parts stopped merging", head, rows)]


def _our_rows(case: dict[str, Any]) -> Iterator[Sequence[Any]]:
    peak, rates = case["peak_bytes"], case["samples_per_cpu_second"]
    stored = peak["ingest"] + peak["clickhouse"]
    parts = (case["exact"], case["parses"])
    what, size = f"{case['frames']} frames", (case["series"], case["samples"])
    wall, register = case["samples_per_second"], case["registration_us_per_series"]
    yield f"{what}: ingest + ClickHouse", *size, rates["stored"], wall, register, mib(stored), *parts
    yield f"{what}: … + rules", *size, rates["evaluated"], None, None, mib(stored + peak["rules"]), *parts
    yield f"{what}: … + broker", *size, rates["with_broker"], None, None, mib(sum(peak.values())), *parts


def _peer_row(other: dict[str, Any]) -> Sequence[Any]:
    return (
        f"{other['name']} {other['version']}",
        other["series"],
        other["samples"],
        other["samples_per_cpu_second"],
        other["samples_per_second"],
        other["registration_us_per_series"],
        mib(other["peak_bytes"]["server"]),
        other["exact"],
        other["parses"],
    )


def _goals(figures: dict[str, Any]) -> list[Goal]:
    cases = figures["ours"]
    gateway, agent = cases[0]["samples_per_cpu_second"], cases[-1]["samples_per_cpu_second"]
    theirs = next(
        (
            one["samples_per_cpu_second"]
            for one in figures["peers"]
            if one["name"] == VICTORIA and one["series"] == cases[0]["series"]
        ),
        None,
    )
    all_of = "stored + rolled up + rule-evaluated per CPU-second"
    whole = gateway["with_broker"]
    return [
        Goal(f"{all_of}, broker included", ">=", 1_200_000, whole),
        Goal(f"{all_of}, broker included, over VictoriaMetrics", ">=", 1.9, ratio(whole, theirs), "x"),
        Goal(f"{all_of}, without the broker", ">=", 1_500_000, gateway["evaluated"]),
        Goal("the same, one frame a host, over VictoriaMetrics", ">=", 0.6, ratio(agent["with_broker"], theirs), "x"),
        Goal("cases with a sample missing, counted twice or rolled up wrong", "==", 0, _inexact(cases)),
        Goal("audits that leave something unexplained", "==", 0, _unexplained(cases)),
    ]


def _inexact(cases: Sequence[dict[str, Any]]) -> int:
    return sum(not one["exact"] for one in cases)


def _unexplained(cases: Sequence[dict[str, Any]]) -> int | None:
    codes = [code for case in cases for code in case["audits"]]
    return None if None in codes else sum(code != 0 for code in codes)


def _notes() -> list[str]:
    return [
        "Ours stores raw samples and one-minute rollups, the peers raw samples; neither peer evaluates rules here.",
        "The peers' CPU is the server's alone: theirs and our sender are not counted. Our samples come as Kafka frames "
        "whose names are looked at once; theirs as remote_write, every label each time. A gateway in front of Kafka "
        "has to parse remote_write too.",
        "Steady state: without the first tick, which registers the series (its own column). 1 % of series replaced an "
        "hour. The wall rate has the load beside it on the same cores.",
        "With rules: recorded series are stored too and not counted as samples.",
    ]
