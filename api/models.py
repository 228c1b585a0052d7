"""The shapes of our own answers, under `/api/fleet/v1/`: what the page's client is generated from.

Times are RFC 3339 with milliseconds, UTC. A ratio is a part of one (0.42 is 42 %).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

HOST_EXAMPLE: dict[str, Any] = {
    "host": "web-017",
    "status": "up",
    "last_seen": "2026-11-23T10:41:20.000Z",
    "simulated": False,
    "cpu_ratio": 0.42,
    "memory_ratio": 0.71,
    "filesystem_ratio": 0.55,
    "disk_ratio": 0.03,
    "network_receive_bytes_per_second": 18250.4,
    "network_transmit_bytes_per_second": 9120.0,
    "load_per_core": 0.38,
    "alerts": {"warning": 1, "critical": 0},
}
ALERT_EXAMPLE: dict[str, Any] = {
    "id": "7d1f0c5be2a94410/1",
    "source": "/fleetpulse/rules/HostCpuHigh",
    "subject": "web-017",
    "time": "2026-11-23T10:40:30.000Z",
    "specversion": "1.0",
    "type": "fleetpulse.alert.v1",
    "datacontenttype": "application/json",
    "data": {
        "status": "firing",
        "labels": {"alertname": "HostCpuHigh", "instance": "web-017", "severity": "warning"},
        "annotations": {"summary": "CPU of web-017 is 91 % busy"},
        "startsAt": "2026-11-23T10:40:30.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "0f6a2b9de7c14c35",
        "generatorURL": "",
        "episode": "7d1f0c5be2a94410",
        "transition": 1,
        "previousSeverity": None,
        "stale": False,
        "late": False,
        "flapping": False,
        "reason": "threshold",
        "host": "web-017",
        "rule": {"name": "HostCpuHigh", "hash": "5c2e77aa01b3d9f4"},
        "value": "0.91",
        "threshold": "> 0.8",
        "evidence": [
            {
                "series": 'host:cpu_utilisation:ratio_rate1m{instance="web-017"}',
                "timestamp": "2026-11-23T10:40:30.000Z",
                "value": "0.91",
            }
        ],
    },
}
PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "no host 'web-17' has ever sent a sample; the nearest names are web-017, web-117",
    "instance": "/api/fleet/v1/hosts/web-17",
    "nearest": ["web-017", "web-117"],
}

Number = Annotated[float | None, Field(description="null: never recorded, or not a finite number")]


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class ParameterProblem(BaseModel):
    """One parameter that is wrong."""

    parameter: str
    message: str
    file: str | None = Field(default=None, description="Of a rule: the file, as it was sent.")
    line: int | None = Field(default=None, description="Of a rule: the line in it, from 1.")
    field: str | None = Field(default=None, description="Of a rule: the field that is wrong.")


class Problem(BaseModel):
    """What went wrong, as RFC 9457 problem details (`application/problem+json`)."""

    model_config = _example(PROBLEM_EXAMPLE)

    type: str = "about:blank"
    title: str = Field(description="The HTTP status in words.")
    status: int
    detail: str = Field(description="One sentence for a person: what, where and what to do.")
    instance: str = Field(description="The path of the request.")
    nearest: list[str] | None = Field(default=None, description="Names like the one that was not found.")
    errors: list[ParameterProblem] | None = Field(default=None, description="The parameters that are wrong.")
    checks: list["ReadyCheck"] | None = Field(default=None, description="Of `/health/ready`: every check.")


class AlertCounts(BaseModel):
    """Alerts that fire now, by severity."""

    warning: int
    critical: int


class Host(BaseModel):
    """One host: when it was last seen, its latest rolling aggregates and how many alerts it has."""

    model_config = _example(HOST_EXAMPLE)

    host: str
    status: Literal["up", "silent"] = Field(description="silent: nothing received for the setting's time.")
    last_seen: str = Field(description="Time of its newest sample.")
    simulated: bool = Field(description="Made up by `fleetpulse simulate`.")
    cpu_ratio: Number
    memory_ratio: Number
    filesystem_ratio: Number = Field(description="Of its fullest filesystem.")
    disk_ratio: Number = Field(description="Of its busiest disk: part of the time with requests in flight.")
    network_receive_bytes_per_second: Number
    network_transmit_bytes_per_second: Number
    load_per_core: Number
    alerts: AlertCounts


class HostList(BaseModel):
    """Hosts in the order of their names."""

    model_config = _example({"hosts": [HOST_EXAMPLE], "total": 1, "now": "2026-11-23T10:41:23.512Z"})

    hosts: list[Host]
    total: int = Field(description="Hosts that fit the filters, also beyond `limit`.")
    now: str = Field(description="The server's time.")


class HostFacts(BaseModel):
    """What a host says about itself; null where it never did."""

    sysname: str | None = Field(examples=["Linux"])
    release: str | None = Field(examples=["6.12.0-amd64"])
    machine: str | None = Field(examples=["x86_64"])
    nodename: str | None
    cores: int | None = Field(description="Logical CPUs.")
    memory_bytes: Number
    boot_time: str | None


class HostDetail(Host):
    """A host with its facts."""

    model_config = _example(
        HOST_EXAMPLE
        | {
            "labels": {"instance": "web-017", "job": "node"},
            "facts": {
                "sysname": "Linux",
                "release": "6.12.0-amd64",
                "machine": "x86_64",
                "nodename": "web-017",
                "cores": 8,
                "memory_bytes": 33554432000.0,
                "boot_time": "2026-11-01T06:12:44.000Z",
            },
            "first_seen": "2026-11-01T06:13:10.000Z",
            "series": 412,
            "now": "2026-11-23T10:41:23.512Z",
        }
    )

    labels: dict[str, str] = Field(description="Labels of its `up` series, e.g. job and instance.")
    facts: HostFacts
    first_seen: str
    series: int = Field(description="Series that it has ever sent.")
    now: str


class Series(BaseModel):
    """One series: metric and labels, as sent."""

    id: str = Field(description="64 bits, 16 hexadecimal digits.", examples=["5a0c1f22d3e4b617"])
    metric: str = Field(examples=["node_cpu_seconds_total"])
    labels: dict[str, str] = Field(examples=[{"cpu": "0", "instance": "web-017", "job": "node", "mode": "idle"}])


class SeriesList(BaseModel):
    """A host's series, ordered by metric and labels."""

    series: list[Series]
    total: int = Field(description="Series that fit the filters, also beyond `limit`.")


Point = tuple[int, float | Literal["NaN", "+Inf", "-Inf"] | None]


class SampledSeries(BaseModel):
    """The points of one series; labels include `__name__`."""

    labels: dict[str, str] = Field(examples=[{"__name__": "node_load1", "instance": "web-017", "job": "node"}])
    points: list[Point] = Field(
        description="[start of the step in Unix milliseconds, value], one for every step of the range. null: no sample "
        'in that step; "NaN", "+Inf" and "-Inf" stand for what JSON has no number for.',
        examples=[[[1795430460000, 0.31], [1795430520000, None], [1795430580000, "+Inf"]]],
    )


class Samples(BaseModel):
    """Samples of the series that match, brought to a common step."""

    metric: str
    aggregate: str
    tier: Literal["raw", "1m", "1h"] = Field(
        description="`raw`: made from raw samples. `1m`, for steps of whole minutes: made from one-minute rollups; "
        "`1h`, for steps of whole hours: from one-hour rollups. What is not rolled up yet, and at least the newest ten "
        "minutes, is made from the finer tier. Where the range begins before the finer tier's retention, the coarser "
        "one answers."
    )
    step_ms: int = Field(description="The step asked for, or the tier's own, up to which it was rounded.")
    start_ms: int = Field(description="Start of the first step; steps begin at multiples of `step_ms`.")
    end_ms: int = Field(description="End of the last step, not included.")
    series: list[SampledSeries]


class Evidence(BaseModel):
    """One sample that led to the transition."""

    series: str
    timestamp: str
    value: str


class RuleRef(BaseModel):
    """Which rule, in which version."""

    name: str
    hash: str


class AlertData(BaseModel):
    """The alert in Alertmanager's words, then ours: `fleetpulse/events.py`."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(description="With alertname, instance and severity.")
    annotations: dict[str, str]
    startsAt: str
    endsAt: str = Field(description="0001-01-01T00:00:00Z while it fires.")
    fingerprint: str
    generatorURL: str
    episode: str
    transition: int
    previousSeverity: str | None
    stale: bool = Field(description="Its host is silent: the alert holds its state.")
    late: bool
    flapping: bool = Field(description="It changed its state too often of late, and stays firing meanwhile.")
    reason: str
    host: str
    rule: RuleRef
    value: str = Field(description="As text: JSON has no NaN or infinities.")
    threshold: str
    evidence: list[Evidence]


class AlertEvent(BaseModel):
    """One transition: the CloudEvents envelope that `fleetpulse.alerts` carries."""

    model_config = _example(ALERT_EXAMPLE)

    id: str = Field(description="episode/transition")
    source: str
    subject: str = Field(description="The host.")
    time: str
    specversion: str
    type: str
    datacontenttype: str
    data: AlertData


class AlertList(BaseModel):
    """Alerts that fire now: the latest event of each open episode, newest first."""

    model_config = _example({"alerts": [ALERT_EXAMPLE], "now": "2026-11-23T10:41:23.512Z"})

    alerts: list[AlertEvent]
    now: str


class AlertHistory(BaseModel):
    """Past transitions, newest first."""

    model_config = _example({"events": [ALERT_EXAMPLE], "next": "MjAyNi0xMS0yM1QxMDo0MDozMFo"})

    events: list[AlertEvent]
    next: str | None = Field(description="Pass it as `cursor` for the page after this one; null: there is none.")


class ReadyCheck(BaseModel):
    """One thing that must work."""

    name: str = Field(examples=["clickhouse", "kafka", "ingest", "rules", "history"])
    ok: bool
    detail: str
    seconds: float = Field(description="How long the check took.")


class Readiness(BaseModel):
    """Whether this service can answer."""

    status: Literal["ready"]
    checks: list[ReadyCheck]


class Liveness(BaseModel):
    """This process answers."""

    status: Literal["live"]


class PrometheusAlert(BaseModel):
    """An alert as Prometheus' `/api/v1/alerts` gives it."""

    activeAt: str
    annotations: dict[str, str]
    labels: dict[str, str]
    state: Literal["pending", "firing"]
    value: str


class PrometheusAlerts(BaseModel):
    """`data` of Prometheus' answer."""

    alerts: list[PrometheusAlert]


class PrometheusAlertsAnswer(BaseModel):
    """Prometheus' envelope."""

    status: Literal["success"]
    data: PrometheusAlerts


class PrometheusRules(BaseModel):
    """`data` of Prometheus' answer."""

    groups: list[dict[str, Any]] = Field(description="As Prometheus: name, file, interval, rules with their alerts.")
    groupNextToken: str | None = Field(default=None, description="Where the page after `group_limit` begins.")


class PrometheusRulesAnswer(BaseModel):
    """Prometheus' envelope."""

    status: Literal["success"]
    data: PrometheusRules
