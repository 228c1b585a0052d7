-- What ingest has put into `samples`: one row per partition and insert, written after the raw rows and before the
-- acknowledgement. `minutes` are the one-minute buckets that the range [first_offset, next_offset) touched.
CREATE TABLE IF NOT EXISTS ledger
(
    topic           LowCardinality(String),
    partition       UInt32,
    first_offset    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    next_offset     UInt64 CODEC(DoubleDelta, ZSTD(1)),
    appended        DateTime64(3, 'UTC'),
    frames          UInt32,
    dead            UInt32,
    stored          UInt64,
    refused         UInt64,
    producers       Nested(id String, first_seq UInt64, last_seq UInt64, frames UInt32, samples UInt64),
    minutes         Array(DateTime('UTC'))
)
ENGINE = MergeTree
ORDER BY (topic, partition, first_offset)
TTL toDateTime(appended) + INTERVAL 16 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- A bucket is clean when its mark reaches the largest next_offset that touched it.
CREATE TABLE IF NOT EXISTS clean_marks
(
    topic     LowCardinality(String),
    partition UInt32,
    minute    DateTime('UTC'),
    through   UInt64
)
ENGINE = ReplacingMergeTree(through)
ORDER BY (topic, partition, minute)
TTL minute + INTERVAL 16 DAY;
