"""When each host was last heard of, written to the table a few times a minute and no more."""

from collections.abc import Iterable, Mapping

from clickhouse_driver import Client

from fleetpulse.storage import tables
from stream_processors.ingest.registration import NewSeries

EVERY_MS = 10_000
SIMULATED = "simulated"  # label

SeenRow = tuple[str, int, int, int]


class SeenHosts:
    """Append times of the hosts' newest messages."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._simulated: set[str] = set()

    def __len__(self) -> int:
        return len(self._newest)

    def learn(self, series: Iterable[NewSeries]) -> None:
        """Look at new series: a host with a label ``simulated="true"`` is simulated."""
        self._simulated.update(
            new.host for new in series if (new.own.get(SIMULATED) or new.common.get(SIMULATED)) == "true"
        )

    def note(self, hosts: Mapping[str, int]) -> None:
        """Hosts of stored messages with their append times in ms."""
        for host, append_ms in hosts.items():
            self._newest[host] = max(append_ms, self._newest.get(host, 0))

    def forget(self, before_ms: int) -> None:
        """Forget the hosts that were not heard of since, and of which no row is due."""
        for host in [host for host, newest in self._newest.items() if newest < before_ms]:
            if self._newest[host] - self._written.get(host, self._newest[host] - EVERY_MS) < EVERY_MS:
                del self._newest[host], self._written[host]
                self._simulated.discard(host)

    def due(self) -> list[SeenRow]:
        """Rows (host, first seen, last seen, simulated) of hosts whose last row is EVERY_MS old or older."""
        return [
            (host, newest, newest, int(host in self._simulated))
            for host, newest in self._newest.items()
            if newest - self._written.get(host, 0) >= EVERY_MS
        ]

    def insert(self, client: Client, rows: list[SeenRow]) -> None:
        """Write rows of `due`."""
        client.execute(f"INSERT INTO {tables.HOST_SEEN} ({', '.join(tables.HOST_SEEN_COLUMNS)}) VALUES", rows)
        self._written.update({row[0]: row[1] for row in rows})
