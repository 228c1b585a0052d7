"""Users, rights and limits of the embedded ClickHouse.

It ignores `user_files_path`, so that only a missing grant keeps `file()` from the whole machine: every user has
explicit grants, and none on sources (`file`, `url`, `remote`) or on tables of `system`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

SERVICE, API, GRAFANA = "fleetpulse", "api", "grafana"
USERS = (SERVICE, API, GRAFANA)

# The public views; `grafana` may read these and nothing else.
PUBLIC_VIEWS = (
    "series",
    "metrics",
    "metrics_of",
    "metrics_1m",
    "metrics_1m_of",
    "metrics_1h",
    "metrics_1h_of",
    "hosts",
    "alerts",
    "alert_history",
)
# What our own readers (`fleetpulse/storage/reader.py`, `history.py`) ask directly, because they resolve series first.
READER_TABLES = (
    "samples",
    "samples_1m",
    "samples_1h",
    "rolled_up",
    "registered_series",
    "host_seen",
    "alert_events",
    "ledger",
)
_ENGINES = ("MergeTree", "ReplacingMergeTree", "AggregatingMergeTree", "SummingMergeTree", "View", "MaterializedView")

_MIB = 1024 * 1024
# What a reader may change for one query although it is read-only, with the least and the most allowed.
_READER_LIMITS: Mapping[str, tuple[int, int | None]] = {"max_execution_time": (1, 60)}
_READER_FREE = ("final", "do_not_merge_across_partitions_select_final", "max_threads", "max_block_size", "log_comment")
# Settings that our own client sets on every connection; as constants they are no change for a reader.
_CLIENT_SETTINGS: Mapping[str, int | str] = {"async_insert": 0, "optimize_on_insert": 0, "deduplicate_insert": "enable"}


def users_xml(passwords: Mapping[str, str], databases: Iterable[str], memory_mb: int) -> str:
    """users.xml; ``passwords`` by user, ``databases`` those of ours (tests have more than one)."""
    databases = tuple(databases)
    public = [f"GRANT SELECT ON {database}.{view}" for database in databases for view in PUBLIC_VIEWS]
    direct = [f"GRANT SELECT ON {database}.{table}" for database in databases for table in READER_TABLES]
    service = [f"GRANT ALL ON {database}.*" for database in databases]
    service += [f"GRANT TABLE ENGINE ON {engine}" for engine in _ENGINES]
    users = [
        # the session inside the child process itself: it may open the listeners and wait, nothing else
        _user("default", None, "waiting", ["GRANT SYSTEM LISTEN ON *.*", "GRANT SELECT ON system.numbers"]),
        _user(SERVICE, passwords[SERVICE], "service", service),
        _user(API, passwords[API], "reader", public + direct),
        _user(GRAFANA, passwords[GRAFANA], "reader", public),
    ]
    return (
        "<clickhouse>\n<profiles>\n<default/>\n<waiting/>\n"
        f"<service>{_service_profile(memory_mb)}</service>\n<reader>{_reader_profile(memory_mb)}</reader>\n"
        "</profiles>\n<quotas><default/></quotas>\n<users>\n" + "\n".join(users) + "\n</users>\n</clickhouse>\n"
    )


def _user(name: str, password: str | None, profile: str, grants: Iterable[str]) -> str:
    secret = (
        "<password/>"
        if password is None
        else f"<password_sha256_hex>{hashlib.sha256(password.encode()).hexdigest()}</password_sha256_hex>"
    )
    queries = "".join(f"\n<query>{escape(grant)}</query>" for grant in grants)
    return (
        f"<{name}>{secret}<networks><ip>127.0.0.1</ip></networks><profile>{profile}</profile>"
        f"<quota>default</quota><grants>{queries}\n</grants></{name}>"
    )


def _service_profile(memory_mb: int) -> str:
    return _settings({"max_memory_usage": memory_mb * _MIB * 3 // 4, "log_queries_min_query_duration_ms": 100})


def _reader_profile(memory_mb: int) -> str:
    values: dict[str, int | str] = {
        "readonly": 1,
        "final": 1,
        "do_not_merge_across_partitions_select_final": 1,
        "max_execution_time": 30,
        "timeout_overflow_mode": "throw",
        "max_memory_usage": memory_mb * _MIB // 3,
        "max_memory_usage_for_user": memory_mb * _MIB // 2,
        "max_rows_to_read": 2_000_000_000,
        "max_result_rows": 2_000_000,
        "max_result_bytes": 512 * _MIB,
        "result_overflow_mode": "throw",
        "max_concurrent_queries_for_user": 32,
        "max_ast_elements": 20_000,
        **_CLIENT_SETTINGS,
    }
    limits = "".join(
        f"<{name}><min>{least}</min><max>{most}</max><changeable_in_readonly/></{name}>"
        for name, (least, most) in _READER_LIMITS.items()
    )
    free = "".join(f"<{name}><changeable_in_readonly/></{name}>" for name in _READER_FREE)
    return f"{_settings(values)}<constraints>{limits}{free}</constraints>"


def _settings(values: Mapping[str, int | str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
