-- Every alert event of `fleetpulse.alerts`, once: a redelivered one has the same time, episode and transition. The
-- hour comes first so that a dashboard's range prunes.
CREATE TABLE IF NOT EXISTS alert_events
(
    episode           String,
    transition        UInt32,
    time              DateTime64(3, 'UTC'),
    status            LowCardinality(String),
    fingerprint       String,
    host              String,
    alertname         LowCardinality(String),
    severity          LowCardinality(String),
    previous_severity LowCardinality(String),
    starts_at         DateTime64(3, 'UTC'),
    ends_at           Nullable(DateTime64(3, 'UTC')),
    reason            LowCardinality(String),
    stale             Bool,
    late              Bool,
    value             String,
    threshold         String,
    rule_name         LowCardinality(String),
    rule_hash         LowCardinality(String),
    labels            Map(LowCardinality(String), String),
    annotations       Map(LowCardinality(String), String),
    evidence          Nested(series String, timestamp DateTime64(3, 'UTC'), value String),
    generator_url     String,
    source            String,
    partition         UInt32,
    offset            UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (toStartOfHour(time), episode, transition);
