-- Whether an alert changes too often, as its events say (docs/alerting.md). The views get it as their last column.
ALTER TABLE alert_events ADD COLUMN IF NOT EXISTS flapping Bool DEFAULT false AFTER late;

CREATE OR REPLACE VIEW alert_history
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT time, status, host, alertname, severity, previous_severity, reason, stale, late, value, threshold, labels,
       annotations, starts_at, ends_at, fingerprint, episode, transition, rule_name, rule_hash, evidence.series,
       evidence.timestamp, evidence.value, generator_url, flapping
FROM alert_events FINAL;

CREATE OR REPLACE VIEW alerts
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT time, status, host, alertname, severity, previous_severity, reason, stale, late, value, threshold, labels,
       annotations, starts_at, ends_at, fingerprint, episode, transition, rule_name, rule_hash, evidence.series,
       evidence.timestamp, evidence.value, generator_url, flapping
FROM (SELECT * FROM alert_events FINAL ORDER BY offset DESC LIMIT 1 BY fingerprint)
WHERE status = 'firing';
