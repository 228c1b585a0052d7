"""Kafka and ClickHouse on this machine, and the supervisor that runs the whole system."""
