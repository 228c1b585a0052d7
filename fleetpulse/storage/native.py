"""Columns straight into ClickHouse's native protocol, over a clickhouse-driver connection.

The driver's own numpy mode needs pandas (60 MB a process) and copies every column several times; without it the
driver packs values one by one. For columns of fixed width the wire format is the array's bytes:
https://clickhouse.com/docs/interfaces/formats/Native
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client, defines
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.protocol import ClientPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from fleetpulse.storage.text_columns import Encoded

Array = npt.NDArray[Any]
Column = Array | Encoded

_PIECE = 1024 * 1024  # bytes
_SIMPLE = "SimpleAggregateFunction("

_DTYPES = {
    "UInt32": np.dtype("<u4"),
    "UInt64": np.dtype("<u8"),
    "Float64": np.dtype("<f8"),
    "DateTime('UTC')": np.dtype("<u4"),  # seconds
    "DateTime64(3, 'UTC')": np.dtype("<i8"),  # milliseconds
}


def insert_arrays(client: Client, table: str, columns: Mapping[str, Column], settings: Mapping[str, Any]) -> None:
    """One INSERT of columns of one length, as one block. Raises TypeError for a column of another type."""
    rows = {len(column) for column in columns.values()}
    if len(rows) != 1:
        raise ValueError(f"columns of {table} have different lengths: {sorted(rows)}")
    query = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
    with client.disconnect_on_error(query, dict(settings)):
        connection = client.connection
        connection.send_query(query)
        connection.send_external_tables(None)
        sample = client.receive_sample_block()
        _send_block(connection, sample.columns_with_types, list(columns.values()), rows.pop())
        client.receive_profile_events()
        connection.send_data(ColumnOrientedBlock())  # an empty block ends the data
        client.receive_profile_events()
        client.receive_end_of_insert_query()


def query_with_arrays(
    client: Client,
    query: str,
    name: str,
    types: Mapping[str, str],
    columns: Sequence[Column],
    settings: Mapping[str, Any] | None = None,
) -> list[tuple[Any, ...]]:
    """The result's columns of a query that reads `columns` as the temporary table `name`; `types` by column name."""
    with client.disconnect_on_error(query, dict(settings or {})):
        connection = client.connection
        connection.send_query(query)
        _send_block(connection, list(types.items()), list(columns), len(columns[0]), name)
        connection.send_external_tables(None)  # an empty block ends the data
        result: list[tuple[Any, ...]] = client.receive_result(columnar=True)
        return result


def _send_block(
    connection: Any, types: list[tuple[str, str]], columns: Sequence[Column], rows: int, table: str = ""
) -> None:
    revision = connection.server_info.used_revision
    for (name, kind), column in zip(types, columns, strict=True):
        if not _fits(column, kind):
            given = column.kind if isinstance(column, Encoded) else column.dtype
            raise TypeError(f"column {name} is {kind} on the server: {given} does not fit")
    write_varint(ClientPacketTypes.DATA, connection.fout)
    write_binary_str(table, connection.fout)
    out = connection.block_out.fout
    BlockInfo().write(out)
    write_varint(len(columns), out)
    write_varint(rows, out)
    for (name, kind), column in zip(types, columns, strict=True):
        write_binary_str(name, out)
        write_binary_str(kind, out)
        if revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
            write_binary_uint8(0, out)
        data = column.data if isinstance(column, Encoded) else np.ascontiguousarray(column).view(np.uint8).data
        if out is connection.fout and len(data) >= _PIECE:  # not compressed
            out.flush()
            _send(connection.socket, data)
        else:
            out.write(bytes(data))
    connection.block_out.finalize()


def _fits(column: Column, kind: str) -> bool:
    if kind.startswith(_SIMPLE):  # it is sent as the type that it aggregates
        kind = kind.partition(", ")[2].removesuffix(")")
    return column.kind == kind if isinstance(column, Encoded) else _DTYPES.get(kind) == column.dtype


def _send(socket: Any, data: bytes | memoryview) -> None:
    """The bytes without a copy; every piece has the connection's whole timeout, as in the driver."""
    view = memoryview(data)
    for begin in range(0, len(view), _PIECE):
        socket.sendall(view[begin : begin + _PIECE])
