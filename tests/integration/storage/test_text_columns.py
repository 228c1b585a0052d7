"""Columns of text that are encoded here are what ClickHouse reads."""

from collections.abc import Iterator

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.storage.client import connect
from fleetpulse.storage.native import Column, insert_arrays
from fleetpulse.storage.text_columns import low_cardinality, strings, tags
from tests.support.databases import Database

pytestmark = pytest.mark.servers

LENGTHS = (0, 1, 127, 128, 300, 1023, 1024, 16_383, 16_384, 70_000)


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def put(client: Client, kind: str, column: Column) -> list[object]:
    client.execute("DROP TABLE IF EXISTS text_columns")
    client.execute(f"CREATE TABLE text_columns (n UInt32, x {kind}) ENGINE = MergeTree ORDER BY n")
    insert_arrays(client, "text_columns", {"n": np.arange(len(column), dtype=np.uint32), "x": column}, {})
    return [value for (value,) in client.execute("SELECT x FROM text_columns ORDER BY n")]


@pytest.mark.parametrize("lengths", [LENGTHS, LENGTHS[:5], ()])
def test_strings(client: Client, lengths: tuple[int, ...]) -> None:
    values = ["é" * (length // 2) + "x" * (length % 2) for length in lengths]
    assert put(client, "String", strings(values)) == values


@pytest.mark.parametrize("distinct", [1, 256, 257, 65_536, 65_537])
def test_low_cardinality(client: Client, distinct: int) -> None:
    values = [f"host-{number * 7919 % distinct}" for number in range(distinct + 10)]
    assert put(client, "LowCardinality(String)", low_cardinality(values)) == values


@pytest.mark.parametrize("kind", ["Map(String, String)", "SimpleAggregateFunction(any, Map(String, String))"])
def test_tags(client: Client, kind: str) -> None:
    shared, nothing = {"instance": "h1", "job": "é" * 200}, dict[str, str]()
    names = ["a", "b", "a", "c"]
    own = [nothing, {"x": "1"}, {"y": "2" * 5000, "z": ""}, nothing]
    column = tags(names, [shared, shared, nothing, nothing], own)
    assert put(client, kind, column) == [
        {"__name__": "a", **shared},
        {"__name__": "b", **shared, **own[1]},
        {"__name__": "a", **own[2]},
        {"__name__": "c"},
    ]


def test_another_type_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="x is LowCardinality"):
        put(client, "LowCardinality(String)", strings(["a"]))
