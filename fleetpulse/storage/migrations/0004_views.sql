-- The public contract for SQL and Grafana: these views and nothing else. A reader needs no right on a table.
CREATE OR REPLACE VIEW series
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id, metric_name AS metric, host, tags['instance'] AS instance, tags['job'] AS job,
       mapFilter((name, _) -> name != '__name__', tags) AS labels, first_seen, last_seen
FROM registered_series FINAL;

CREATE OR REPLACE VIEW metrics
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT raw.id AS id, raw.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels, raw.value AS value
FROM (SELECT id, timestamp, value FROM samples FINAL) AS raw
INNER JOIN series AS named ON named.id = raw.id;

CREATE OR REPLACE VIEW metrics_of
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT raw.id AS id, raw.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels, raw.value AS value
FROM
(
    SELECT id, timestamp, value FROM samples FINAL
    WHERE id IN
    (
        SELECT id FROM registered_series
        WHERE metric_name = {metric:String} AND (empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host))
    )
) AS raw
INNER JOIN
(
    SELECT * FROM series
    WHERE metric = {metric:String} AND (empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host))
) AS named ON named.id = raw.id;

-- `rate` is per second: the increase between the bucket's first and last sample, spread evenly over its samples.
CREATE OR REPLACE VIEW metrics_1m
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT rolled.id AS id, rolled.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels,
       rolled.sum / rolled.count AS avg, rolled.min AS min, rolled.max AS max, rolled.first AS first,
       rolled.last AS last, rolled.count AS count, rolled.sum AS sum, rolled.increase AS increase,
       if(rolled.count > 1, rolled.increase * rolled.count / (rolled.count - 1) / 60, nan) AS rate
FROM
(
    SELECT id, timestamp, count, sum, min, max, first, last, increase FROM samples_1m FINAL WHERE count > 0
) AS rolled
INNER JOIN series AS named ON named.id = rolled.id;

CREATE OR REPLACE VIEW metrics_1m_of
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT rolled.id AS id, rolled.timestamp AS timestamp, named.metric AS metric, named.host AS host,
       named.instance AS instance, named.job AS job, named.labels AS labels,
       rolled.sum / rolled.count AS avg, rolled.min AS min, rolled.max AS max, rolled.first AS first,
       rolled.last AS last, rolled.count AS count, rolled.sum AS sum, rolled.increase AS increase,
       if(rolled.count > 1, rolled.increase * rolled.count / (rolled.count - 1) / 60, nan) AS rate
FROM
(
    SELECT id, timestamp, count, sum, min, max, first, last, increase FROM samples_1m FINAL
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

CREATE OR REPLACE VIEW hosts
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT host, if(last_seen >= now64(3) - INTERVAL 60 SECOND, 'up', 'silent') AS status, last_seen, first_seen,
       simulated = 1 AS simulated
FROM host_seen FINAL;

CREATE OR REPLACE VIEW alert_history
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT time, status, host, alertname, severity, previous_severity, reason, stale, late, value, threshold, labels,
       annotations, starts_at, ends_at, fingerprint, episode, transition, rule_name, rule_hash, evidence.series,
       evidence.timestamp, evidence.value, generator_url
FROM alert_events FINAL;

-- Firing now: the newest event of each fingerprint, where that one says firing. Newest is the order of the topic: a
-- fingerprint has one partition, while the hosts' clocks, which the times come from, may be wrong.
CREATE OR REPLACE VIEW alerts
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT time, status, host, alertname, severity, previous_severity, reason, stale, late, value, threshold, labels,
       annotations, starts_at, ends_at, fingerprint, episode, transition, rule_name, rule_hash, evidence.series,
       evidence.timestamp, evidence.value, generator_url
FROM (SELECT * FROM alert_events FINAL ORDER BY offset DESC LIMIT 1 BY fingerprint)
WHERE status = 'firing';
