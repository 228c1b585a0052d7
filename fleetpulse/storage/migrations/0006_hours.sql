-- One-hour rollups, from the raw samples of the hour alone. As in samples_1m, NaN samples are left out and counted. The
-- numbers' first and last time are milliseconds after the start of the hour. The histogram's buckets are described in
-- docs/sql.md. The row with the larger version stays: distinct raw samples · 2^40 + the offset up to which they are in.
CREATE TABLE IF NOT EXISTS samples_1h
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
    first_ms  UInt32             CODEC(ZSTD(1)),
    last_ms   UInt32             CODEC(ZSTD(1)),
    histogram Map(Int16, UInt64) CODEC(ZSTD(3)),
    version   UInt64             CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (id, timestamp)
TTL timestamp + INTERVAL 730 DAY
SETTINGS ttl_only_drop_parts = 1;

-- An hour is clean when its mark reaches the largest next_offset that touched it in the ledger.
CREATE TABLE IF NOT EXISTS hour_marks
(
    topic     LowCardinality(String),
    partition UInt32,
    hour      DateTime('UTC'),
    through   UInt64
)
ENGINE = ReplacingMergeTree(through)
ORDER BY (topic, partition, hour)
TTL hour + INTERVAL 16 DAY;

-- How far each tier of a partition is complete: every bucket before `before` is rolled up, late samples aside. Readers
-- take newer ones from the finer tier.
CREATE TABLE IF NOT EXISTS rolled_up
(
    topic     LowCardinality(String),
    partition UInt32,
    tier      LowCardinality(String),
    before    DateTime('UTC'),
    through   UInt64
)
ENGINE = ReplacingMergeTree(through)
ORDER BY (topic, partition, tier);

-- `rate` is per second: the increase between the hour's first and last sample, over the time between them. The
-- quantiles are those of the histogram: at most 5.9 % off.
CREATE OR REPLACE VIEW metrics_1h
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT rolled.id AS id, rolled.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels,
       rolled.sum / rolled.count AS avg, rolled.min AS min, rolled.max AS max, rolled.first AS first,
       rolled.last AS last, rolled.count AS count, rolled.sum AS sum, rolled.increase AS increase,
       if(rolled.last_ms > rolled.first_ms, rolled.increase / (rolled.last_ms - rolled.first_ms) * 1000, nan) AS rate,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.5 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p50,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.95 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p95,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.99 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p99,
       rolled.histogram AS histogram
FROM
(
    SELECT id, timestamp, count, sum, min, max, first, last, increase, first_ms, last_ms, histogram FROM samples_1h FINAL WHERE count > 0
) AS rolled
INNER JOIN series AS named ON named.id = rolled.id;

CREATE OR REPLACE VIEW metrics_1h_of
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT rolled.id AS id, rolled.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels,
       rolled.sum / rolled.count AS avg, rolled.min AS min, rolled.max AS max, rolled.first AS first,
       rolled.last AS last, rolled.count AS count, rolled.sum AS sum, rolled.increase AS increase,
       if(rolled.last_ms > rolled.first_ms, rolled.increase / (rolled.last_ms - rolled.first_ms) * 1000, nan) AS rate,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.5 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p50,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.95 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p95,
       arrayMap(k -> least(greatest(multiIf(k = 0, 0., k = 16376, inf, k = -16376, -inf, sign(k) * if(abs(k) = 16375, reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)), 2 * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / (1 + reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k)), 49)) / reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(k) + 1), 49))))), rolled.min), rolled.max), [mapKeys(rolled.histogram)[arrayFirstIndex(upto -> upto >= greatest(1, ceil(0.99 * rolled.count)), arrayCumSum(mapValues(rolled.histogram)))]])[1] AS p99,
       rolled.histogram AS histogram
FROM
(
    SELECT id, timestamp, count, sum, min, max, first, last, increase, first_ms, last_ms, histogram FROM samples_1h FINAL
    WHERE count > 0 AND id IN
    (
        SELECT id FROM registered_series
        WHERE metric_name = {metric:String} AND (empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host))
    )
) AS rolled
INNER JOIN
(
    SELECT * FROM series
    WHERE metric = {metric:String} AND (empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host))
) AS named ON named.id = rolled.id;
