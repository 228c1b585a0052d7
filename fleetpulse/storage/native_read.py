"""Columns of fixed width out of ClickHouse's native protocol as numpy arrays; `native.py` is the other way.

The driver unpacks every value into a Python object: ten times the time, and for tens of millions of rows minutes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client, defines
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.columns.service import read_column
from clickhouse_driver.protocol import ServerPacketTypes
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.streams.native import BlockInputStream
from clickhouse_driver.varint import read_varint

Array = npt.NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "UInt32": np.dtype("<u4"),
    "UInt64": np.dtype("<u8"),
    "Int64": np.dtype("<i8"),
    "Float64": np.dtype("<f8"),
}


def query_arrays(client: Client, query: str, parameters: Mapping[str, Any]) -> list[Array]:
    """The columns of a SELECT, all of fixed width; an empty list when there is no row. Raises what the driver does."""
    with client.disconnect_on_error(query, {}):
        connection = client.connection
        usual, connection.block_in = connection.block_in, _stream(connection)
        try:
            connection.send_query(query, params=dict(parameters))
            connection.send_external_tables(None)
            blocks = list(_blocks(connection))
        finally:
            connection.block_in = usual
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _stream(connection: Any) -> Any:
    """The stream of blocks that gives arrays; of a compressed connection the one that decompresses stays."""
    usual = connection.block_in
    return _Arrays(usual.fin, usual.context) if type(usual) is BlockInputStream else usual


def _blocks(connection: Any) -> Any:
    while True:
        packet = connection.receive_packet()
        if packet.type == ServerPacketTypes.EXCEPTION:
            raise packet.exception
        if packet.type == ServerPacketTypes.END_OF_STREAM:
            return
        if packet.type == ServerPacketTypes.DATA and packet.block.num_rows:
            yield [np.asarray(column) for column in packet.block.data]


class _Arrays(BlockInputStream):  # type: ignore[misc]
    def read(self, use_numpy: bool | None = None) -> ColumnOrientedBlock:
        info = BlockInfo()
        info.read(self.fin)
        columns, rows = read_varint(self.fin), read_varint(self.fin)
        revision = self.context.server_info.used_revision
        names: list[tuple[str, str]] = []
        data: list[Any] = []
        for _ in range(columns):
            names.append((read_binary_str(self.fin), read_binary_str(self.fin)))
            custom = revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION and read_binary_uint8(self.fin)
            if rows:
                data.append(self._column(names[-1][1], rows, bool(custom)))
        return ColumnOrientedBlock(columns_with_types=names, data=data, info=info)

    def _column(self, kind: str, rows: int, custom: bool) -> Any:
        dtype = _DTYPES.get(kind)
        if dtype is None or custom:  # sparse columns, and blocks of another kind: as the driver reads them
            return read_column(self.context, kind, rows, self.fin, has_custom_serialization=custom)
        return np.frombuffer(self.fin.read(rows * dtype.itemsize), dtype=dtype)
