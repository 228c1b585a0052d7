"""`fleetpulse audit`: every sample that a producer sent is stored, or it is known what became of it.

`ranges` and `coverage` and `account` are pure; `read` asks ClickHouse, `waiting` Kafka; `run` puts them together.
"""
