"""Names of the private tables and the public views, and the columns that writers fill.

`series` is the name of a public view, so the table behind it is `registered_series`; the table behind `hosts` is
`host_seen`, the one behind `alerts` and `alert_history` is `alert_events`. Only the views are a contract.
"""

SAMPLES = "samples"
SAMPLES_1M = "samples_1m"
SAMPLES_1H = "samples_1h"
SERIES = "registered_series"
HOST_SEEN = "host_seen"
LEDGER = "ledger"
CLEAN_MARKS = "clean_marks"
HOUR_MARKS = "hour_marks"
ROLLED_UP = "rolled_up"
ALERT_EVENTS = "alert_events"
MIGRATIONS = "schema_migrations"

TABLES = (
    SAMPLES, SAMPLES_1M, SAMPLES_1H, SERIES, HOST_SEEN, LEDGER, CLEAN_MARKS, HOUR_MARKS, ROLLED_UP, ALERT_EVENTS,
)  # fmt: skip

VIEWS = (
    "series", "metrics", "metrics_of", "metrics_1m", "metrics_1m_of", "metrics_1h", "metrics_1h_of", "hosts", "alerts",
    "alert_history",
)  # fmt: skip

SAMPLES_COLUMNS = ("id", "timestamp", "value")
SAMPLES_1M_COLUMNS = (
    "id", "timestamp", "count", "nans", "sum", "min", "max", "first", "last", "increase", "version",
)  # fmt: skip
SAMPLES_1H_COLUMNS = (
    "id", "timestamp", "count", "nans", "sum", "min", "max", "first", "last", "increase", "first_ms", "last_ms",
    "histogram", "version",
)  # fmt: skip
SERIES_COLUMNS = ("id", "key", "metric_name", "host", "tags", "first_seen", "last_seen")
HOST_SEEN_COLUMNS = ("host", "first_seen", "last_seen", "simulated")
LEDGER_COLUMNS = (
    "topic", "partition", "first_offset", "next_offset", "appended", "frames", "dead", "stored", "refused",
    "producers.id", "producers.first_seq", "producers.last_seq", "producers.frames", "producers.samples", "minutes",
    "accounts", "unsettled", "incarnation", "lost",
    "spans.producer", "spans.host", "spans.hour", "spans.first", "spans.samples",
    "doubts.host", "doubts.hour", "doubts.refused", "doubts.known", "doubts.found",
    "dead_spans.producer", "dead_spans.seq", "dead_spans.host", "dead_spans.hour", "dead_spans.first",
    "dead_spans.samples",
    "dropped.producer", "dropped.seq", "dropped.host", "dropped.hour", "dropped.samples",
    "replayed.producer", "replayed.seq", "closed",
)  # fmt: skip
CLEAN_MARKS_COLUMNS = ("topic", "partition", "minute", "through")
HOUR_MARKS_COLUMNS = ("topic", "partition", "hour", "through")
ROLLED_UP_COLUMNS = ("topic", "partition", "tier", "before", "through")
ALERT_EVENTS_COLUMNS = (
    "episode", "transition", "time", "status", "fingerprint", "host", "alertname", "severity", "previous_severity",
    "starts_at", "ends_at", "reason", "stale", "late", "flapping", "value", "threshold", "rule_name", "rule_hash",
    "labels", "annotations", "evidence.series", "evidence.timestamp", "evidence.value", "generator_url", "source",
    "partition", "offset",
)  # fmt: skip

# A repaired bucket outranks the window's own row, whatever their counts (design.md section 5).
REPAIR_GENERATION = 1 << 40
