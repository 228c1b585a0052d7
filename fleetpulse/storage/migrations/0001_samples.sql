-- Raw samples. A redelivered sample collapses with its first copy; of two values for one (id, timestamp) the
-- larger stays, whatever the order of arrival (NaN ranks highest).
CREATE TABLE IF NOT EXISTS samples
(
    id        UInt64                CODEC(ZSTD(1)),
    timestamp DateTime64(3, 'UTC')  CODEC(DoubleDelta, ZSTD(1)),
    value     Float64               CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree(value)
PARTITION BY toDate(timestamp)
ORDER BY (id, timestamp)
TTL toDateTime(timestamp) + INTERVAL 15 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- One-minute rollups, whole buckets only: every column is a function of the bucket's own samples. NaN samples are
-- left out and counted in `nans`. The row with the larger version stays: repairs · 2^40 + distinct raw samples.
CREATE TABLE IF NOT EXISTS samples_1m
(
    id        UInt64             CODEC(ZSTD(1)),
    timestamp DateTime('UTC')    CODEC(DoubleDelta, ZSTD(1)),
    count     UInt32             CODEC(ZSTD(1)),
    nans      UInt32             CODEC(ZSTD(1)),
    sum       Float64            CODEC(ZSTD(3)),
    min       Float64            CODEC(ZSTD(3)),
    max       Float64            CODEC(ZSTD(3)),
    first     Float64            CODEC(ZSTD(3)),
    last      Float64            CODEC(ZSTD(3)),
    increase  Float64            CODEC(ZSTD(3)),
    version   UInt64             CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(timestamp)
ORDER BY (id, timestamp)
TTL timestamp + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Every series ever stored; `tags` holds all labels and `__name__`, `key` the canonical key.
CREATE TABLE IF NOT EXISTS registered_series
(
    id          UInt64,
    key         String CODEC(ZSTD(3)),
    metric_name LowCardinality(String),
    host        LowCardinality(String),
    tags        SimpleAggregateFunction(any, Map(String, String)) CODEC(ZSTD(3)),
    first_seen  SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen   SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    INDEX by_id id TYPE bloom_filter GRANULARITY 1,
    INDEX by_host host TYPE bloom_filter GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (metric_name, host, id, key);

-- Hosts by the append time of their newest message; written a few times a minute.
CREATE TABLE IF NOT EXISTS host_seen
(
    host       String,
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    simulated  SimpleAggregateFunction(max, UInt8)
)
ENGINE = AggregatingMergeTree
ORDER BY host;
