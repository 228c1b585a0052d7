"""ClickHouse on this machine: the server inside chdb-core, run by `clickhouse_server.py` as a child process."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from fleetpulse.settings import EmbeddedSettings
from infra.embedded.child import Command
from infra.embedded.clickhouse_users import USERS, users_xml
from infra.embedded.folder import DataFolder
from infra.embedded.passwords import password_file, url_file
from infra.embedded.ports import LOOPBACK
from infra.embedded.wait import quiet

NAME = "clickhouse"
DATABASE = "fleetpulse"
MIB = 1024 * 1024

_CONFIG = """<clickhouse>
<logger><level>information</level><log>{log}</log><size>20M</size><count>1</count></logger>
<listen_host>{host}</listen_host>
<tcp_port>{port}</tcp_port>
<http_port>{http_port}</http_port>
<user_directories><users_xml><path>users.xml</path></users_xml></user_directories>
<access_control_improvements>
<select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
<select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
<table_engines_require_grant>true</table_engines_require_grant>
<settings_constraints_replace_previous>true</settings_constraints_replace_previous>
</access_control_improvements>
<max_server_memory_usage>{memory}</max_server_memory_usage>
<mark_cache_size>{mark_cache}</mark_cache_size>
<uncompressed_cache_size>0</uncompressed_cache_size>
<max_connections>256</max_connections>
<max_concurrent_queries>100</max_concurrent_queries>
<background_schedule_pool_size>16</background_schedule_pool_size>
<query_log><database>system</database><table>query_log</table>
<ttl>event_date + INTERVAL {log_days} DAY DELETE</ttl>
<flush_interval_milliseconds>7500</flush_interval_milliseconds></query_log>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class EmbeddedClickHouse:
    """The server's files, ports and users; `databases` are those that its users may touch."""

    folder: DataFolder
    port: int
    http_port: int
    options: EmbeddedSettings
    databases: tuple[str, ...] = field(default=(DATABASE,))

    def prepare(self) -> Command:
        """Write passwords and configuration, and say what to start."""
        passwords: Mapping[str, str] = {user: password_file(self.folder, user).read_text() for user in USERS}
        for user in USERS:
            url_file(self.folder, user, DATABASE, self.port)
        memory = self.options.clickhouse_memory_mb
        (self.folder.clickhouse / "config.xml").write_text(
            _CONFIG.format(
                log=escape(str(self.folder.log_file(NAME))),
                host=LOOPBACK,
                port=self.port,
                http_port=self.http_port,
                memory=memory * MIB,
                mark_cache=memory * MIB // 16,
                log_days=self.options.clickhouse_log_days,
            )
        )
        users = self.folder.clickhouse / "users.xml"
        users.touch(mode=0o600)
        users.write_text(users_xml(passwords, self.databases, memory))
        return Command(
            name=NAME,
            arguments=(sys.executable, "-P", "-m", "infra.embedded.clickhouse_server", str(self.folder.clickhouse)),
            log_file=self.folder.log_file(NAME),
        )

    def url(self, user: str, database: str = DATABASE) -> str:
        """clickhouse-driver's URL, password included."""
        password = password_file(self.folder, user).read_text()
        return f"clickhouse://{user}:{password}@{LOOPBACK}:{self.port}/{database}"


def not_ready(url: str, timeout_seconds: float = 2.0) -> str | None:
    """None when the server answers a query, else the cause; the URL's database need not exist yet."""
    client = Client.from_url(url.rpartition("/")[0])
    client.connection.connect_timeout = timeout_seconds
    client.connection.send_receive_timeout = timeout_seconds
    with quiet("clickhouse_driver"):
        try:
            client.execute("SELECT 1")
        except (ClickHouseError, OSError, EOFError) as error:
            return str(error).partition(" Stack trace")[0].strip() or type(error).__name__
        finally:
            client.disconnect()
    return None
