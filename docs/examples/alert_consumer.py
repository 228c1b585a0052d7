"""Read Fleetpulse's alerts: pip install "kafka-python>=3" && python alert_consumer.py [BROKER [TOPIC [GROUP]]]"""

import json
import sqlite3
import sys

from kafka import KafkaConsumer

broker, topic, group = [*sys.argv[1:], *["127.0.0.1:9092", "fleetpulse.alerts", "my-alerts"][len(sys.argv) - 1 :]]
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=broker,
    group_id=group,  # goes on where the group was: a new group begins with the oldest alert that Kafka has
    auto_offset_reset="earliest",
    isolation_level="read_committed",  # events are written in transactions
    enable_auto_commit=False,
    session_timeout_ms=10_000,  # after so long another process of the group takes over from one that died
)
seen = sqlite3.connect(f"{group}.sqlite")  # in production: the database that your handling writes to
seen.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY)")
for message in consumer:
    event = json.loads(message.value)
    alert = event["data"]
    with seen:  # one transaction: the id and what you do about it, so that a repeat does nothing
        if seen.execute("INSERT OR IGNORE INTO events VALUES (?)", [event["id"]]).rowcount:
            labels = alert["labels"]
            what = labels.get("severity", "") if alert["status"] == "firing" else "resolved"
            print(event["time"], event["id"], alert["host"], labels["alertname"], what, alert["value"], flush=True)
    consumer.commit()  # after it is handled: a crash before this line means a repeat, not a loss
