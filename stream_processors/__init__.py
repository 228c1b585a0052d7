"""Faust stream processors between Kafka and ClickHouse."""
