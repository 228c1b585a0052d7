"""Settings of every process: frozen dataclasses read from `FLEETPULSE_…` variables, documented where they stand.

A value comes from the first of: the variable; for a secret also the file that ``<variable>_FILE`` names; what
`fleetpulse up` wrote to ``<data folder>/run/env`` for the commands of the same folder; the default. A process
loads the groups it needs: ``load(KafkaSettings)``. Nothing here is read at import.
"""

import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from fleetpulse.errors import SettingsError

PREFIX = "FLEETPULSE_"
DATA_DIR_VARIABLE = f"{PREFIX}DATA_DIR"
DEFAULT_DATA_DIR = Path(".fleetpulse")


def setting(default: Any, sentence: str, *, secret: bool = False) -> Any:
    """A dataclass field with its default and the sentence that explains it."""
    return field(default=default, metadata={"sentence": sentence, "secret": secret})


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How every process reaches Kafka."""

    PREFIX: ClassVar[str] = "FLEETPULSE_KAFKA_"

    bootstrap_servers: str = setting("127.0.0.1:9092", "Kafka's bootstrap addresses, separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "Protocol to the brokers."
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting("", "SASL mechanism.")
    sasl_username: str = setting("", "SASL user.")
    sasl_password: str = setting("", "SASL password.", secret=True)
    ssl_cafile: str = setting("", "File with the CA certificates that signed the brokers' certificates.")
    topic_prefix: str = setting("fleetpulse", "First part of every topic's and consumer group's name.")
    partitions: int = setting(12, "Partitions of the topics that are split by host; fixed once the topics exist.")
    replication_factor: int = setting(1, "Replicas of each partition when topics are created; 3 on a cluster.")
    session_timeout_seconds: float = setting(
        10.0, "How long a worker may be silent before its partitions go to another; brokers take 6 and more."
    )


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How every process reaches ClickHouse."""

    PREFIX: ClassVar[str] = "FLEETPULSE_CLICKHOUSE_"

    url: str = setting(
        "clickhouse://default@127.0.0.1:9000/fleetpulse",
        "clickhouse-driver's URL: clickhouse://user:password@host:port/database.",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Logging."""

    PREFIX: ClassVar[str] = "FLEETPULSE_LOG_"

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting("INFO", "Least level that is logged.")
    format: Literal["text", "json"] = setting("text", "key=value lines or one JSON object a line.")


@dataclass(frozen=True, slots=True)
class SelfSettings:
    """A long-running process's own metrics and health, served on 127.0.0.1."""

    PREFIX: ClassVar[str] = "FLEETPULSE_SELF_"

    port: int = setting(0, "Port for /metrics and /health of this process; 0: any free port, logged at start.")
    interval_seconds: float = setting(10.0, "How often own metrics are published to fleetpulse.metrics; 0: never.")


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """The publisher that every producer uses."""

    PREFIX: ClassVar[str] = "FLEETPULSE_PUBLISH_"

    buffer_bytes: int = setting(64 * 1024 * 1024, "Bytes of frames that may wait for Kafka in memory.")
    spool_dir: str = setting("", "Folder of the spools, one a process; empty: spool in the data folder.")
    spool_bytes: int = setting(256 * 1024 * 1024, "Bytes of frames that may wait for Kafka on the disk; 0: none.")
    spool_after_seconds: float = setting(2.0, "How long Kafka takes nothing before frames that wait go to the disk.")
    delivery_timeout_seconds: float = setting(
        3600.0, "How long Kafka's client retries before it is opened again; frames are not lost by that."
    )
    stall_seconds: float = setting(60.0, "How long Kafka's client may deliver nothing before it is opened again.")
    linger_ms: int = setting(20, "How long Kafka's client waits to fill a request.")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The host agent."""

    PREFIX: ClassVar[str] = "FLEETPULSE_AGENT_"

    interval_seconds: float = setting(10.0, "Seconds between ticks; ticks fall on multiples of it.")
    collector_timeout_seconds: float = setting(5.0, "How long one collector may take before the tick goes without it.")
    job: str = setting("node", "Label job of every sample.")
    instance: str = setting("", "Label instance of every sample; empty: this machine's host name.")
    proc_path: str = setting("/proc", "Where the proc file system is mounted.")
    sys_path: str = setting("/sys", "Where sysfs is mounted.")
    root_path: str = setting("", "Prefix of the mount points to measure, as in a container that mounts the host's /.")


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """The ingest worker."""

    PREFIX: ClassVar[str] = "FLEETPULSE_INGEST_"

    flush_rows: int = setting(1_000_000, "Rows that trigger an insert; as many more wait while it runs.")
    flush_bytes: int = setting(128 * 1024 * 1024, "Bytes of messages that trigger an insert.")
    flush_seconds: float = setting(
        1.0, "Age of the oldest waiting row that triggers an insert; up to five times as much while far behind."
    )
    lateness_seconds: float = setting(30.0, "How long after its end a one-minute bucket stays open for late samples.")
    raw_retention_days: int = setting(15, "Days that raw samples are kept.")
    minute_retention_days: int = setting(90, "Days that one-minute rollups are kept.")
    hour_retention_days: int = setting(730, "Days that one-hour rollups are kept.")
    decimal_codec: bool = setting(
        False, "Pack numbers as decimals (ClickHouse's ALP codec, a beta in 26.9): a third fewer bytes of raw samples."
    )
    hour_settle_seconds: float = setting(60.0, "How long after its last sample arrived an hour is rolled up.")
    hour_check_seconds: float = setting(30.0, "How often is looked for hours to roll up.")
    max_series_per_host: int = setting(20_000, "Active series of one host; new ones beyond it are refused and counted.")
    max_series: int = setting(2_000_000, "Active series of one worker (0.6 KB each); new ones beyond it are refused.")
    idle_seconds: float = setting(3600.0, "How long after its last sample a series counts as active and is remembered.")
    max_future_seconds: float = setting(600.0, "Samples stamped further ahead of Kafka's append time are refused.")


@dataclass(frozen=True, slots=True)
class RulesSettings:
    """The rules worker."""

    PREFIX: ClassVar[str] = "FLEETPULSE_RULES_"

    files: str = setting(
        "", "Rule files, separated by commas, or shipped packs: host, pipeline, node. Empty: host,pipeline."
    )
    flapping: bool = setting(True, "Tell of an alert that flaps once, and not of each of its changes.")
    forget_hosts_days: float = setting(7.0, "A host silent for so long is forgotten, and its alerts end; 0: never.")
    page_url: str = setting("http://127.0.0.1:8000", "Address of the page that alert events link to; empty: no links.")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """The notifier."""

    PREFIX: ClassVar[str] = "FLEETPULSE_NOTIFY_"

    config: str = setting(
        "", "File of routes and receivers, in Alertmanager's format; empty: nobody is told, alerts stay on the page."
    )
    allow: str = setting(
        "", "Networks that are not public and that requests may go to, separated by commas, as in 10.0.0.0/8,::1/128."
    )
    hmac_secret: str = setting("", "Secret that signs every webhook that has none of its own.", secret=True)
    external_url: str = setting("", "Address of the page in notifications; empty: the API's own.")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP API."""

    PREFIX: ClassVar[str] = "FLEETPULSE_API_"

    listen: str = setting("127.0.0.1", "Address that the API binds.")
    port: int = setting(8000, "Port that the API binds.")
    ready_max_age_seconds: float = setting(60.0, "Age of the oldest unprocessed message above which we are not ready.")
    clickhouse_url: str = setting(
        "", "ClickHouse URL of a user that only reads, for the API; empty: FLEETPULSE_CLICKHOUSE_URL.", secret=True
    )
    max_samples: int = setting(500_000, "Most samples that one request may read back.")
    max_range_days: int = setting(366, "Longest range that one request may ask for.")
    max_body_bytes: int = setting(4_194_304, "Longest body of a request; rule files are the longest.")
    database_url: str = setting(
        "",
        "SQLAlchemy URL of the database with rules and silences; empty: SQLite in the data folder.",
        secret=True,
    )
    url: str = setting("", "Where commands reach the API; empty: FLEETPULSE_API_PORT on this machine.")


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """The embedded servers of `fleetpulse up`."""

    PREFIX: ClassVar[str] = "FLEETPULSE_EMBEDDED_"

    kafka_port: int = setting(9092, "Port of the embedded Kafka.")
    kafka_heap_mb: int = setting(512, "Heap of the embedded Kafka, in MiB.")
    kafka_retention_mb: int = setting(1024, "Bytes that a partition of the embedded Kafka keeps, in MiB.")
    clickhouse_port: int = setting(9000, "Native port of the embedded ClickHouse.")
    clickhouse_http_port: int = setting(8123, "HTTP port of the embedded ClickHouse.")
    clickhouse_memory_mb: int = setting(2048, "Most memory that the embedded ClickHouse uses, in MiB.")
    clickhouse_log_days: int = setting(7, "Days that the embedded ClickHouse keeps its log of queries.")
    jars_dir: str = setting("", "Folder with Kafka's jars; empty: resolved into the data folder or the clone.")


@dataclass(frozen=True, slots=True)
class GrafanaSettings:
    """What `infra/grafana/provisioning` reads from the environment of Grafana's own process."""

    PREFIX: ClassVar[str] = "FLEETPULSE_GRAFANA_"

    clickhouse_host: str = setting("127.0.0.1", "Host of ClickHouse, as Grafana sees it.")
    clickhouse_port: int = setting(9000, "Native port of ClickHouse, as Grafana sees it.")
    clickhouse_user: str = setting("grafana", "User of Grafana's data source; it reads the public views.")
    clickhouse_password: str = setting("", "Password of that user.", secret=True)
    clickhouse_database: str = setting("fleetpulse", "Database with the public views.")
    dashboards: str = setting("infra/grafana/dashboards", "Folder of the dashboards, as Grafana sees it.")


G = typing.TypeVar("G")

GROUPS: tuple[type[Any], ...] = (
    KafkaSettings,
    ClickHouseSettings,
    LogSettings,
    SelfSettings,
    PublishSettings,
    AgentSettings,
    IngestSettings,
    RulesSettings,
    NotifySettings,
    ApiSettings,
    EmbeddedSettings,
    GrafanaSettings,
)


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The data folder: ``FLEETPULSE_DATA_DIR``, else ``.fleetpulse`` in the working directory."""
    value = (os.environ if environ is None else environ).get(DATA_DIR_VARIABLE)
    return Path(value) if value else DEFAULT_DATA_DIR


def load(group: type[G], environ: Mapping[str, str] | None = None) -> G:
    """The settings of one group, checked; raises SettingsError naming the variable."""
    source = os.environ if environ is None else environ
    fallback = read_env_file(data_dir(source) / "run" / "env")
    hints = get_type_hints(group)
    values: dict[str, Any] = {}
    for item in fields(group):  # type: ignore[arg-type]
        variable = variable_of(group, item.name)
        text, origin = _text_of(variable, item.metadata["secret"], source, fallback)
        if text is not None:
            values[item.name] = _parse(text, hints[item.name], origin, item.metadata["secret"])
    return group(**values)


def variable_of(group: type[Any], name: str) -> str:
    """The environment variable of a field."""
    prefix: str = group.PREFIX
    return prefix + name.upper()


def known_variables() -> frozenset[str]:
    """Every variable that is a setting, the ``_FILE`` forms of secrets included."""
    known = {DATA_DIR_VARIABLE}
    for group in GROUPS:
        for item in fields(group):
            variable = variable_of(group, item.name)
            known.add(variable)
            if item.metadata["secret"]:
                known.add(f"{variable}_FILE")
    return frozenset(known)


def read_env_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines; an absent file is empty."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value for key, _, value in pairs}


def _text_of(
    variable: str, secret: bool, source: Mapping[str, str], fallback: Mapping[str, str]
) -> tuple[str | None, str]:
    for place in (source, fallback):
        if variable in place:
            return place[variable], variable
        file_variable = f"{variable}_FILE"
        if secret and place.get(file_variable):
            try:
                return Path(place[file_variable]).read_text().strip(), file_variable
            except OSError as error:
                raise SettingsError(f"{file_variable} names a file that cannot be read: {error}") from error
    return None, variable


def _parse(text: str, kind: Any, variable: str, secret: bool) -> Any:
    shown = "the value given" if secret else repr(text)
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise SettingsError(f"{variable} is {shown}: use one of {', '.join(map(repr, get_args(kind)))}")
        return text
    if isinstance(kind, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    try:
        return _PARSERS[kind](text)
    except ValueError as error:
        raise SettingsError(f"{variable} is {shown}: it must be {_KIND_NAMES[kind]}") from error


def _parse_bool(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


_PARSERS: dict[Any, Any] = {str: str, int: int, float: float, bool: _parse_bool, Path: Path}
_KIND_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
}
