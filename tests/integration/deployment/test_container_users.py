"""The users that docker-compose.yml gives ClickHouse: passwords from the environment, and the rights they need."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse.settings import EmbeddedSettings
from fleetpulse.storage.migrate import migrate
from infra.clickhouse.users import PASSWORD_VARIABLES, container_users_xml
from infra.embedded import clickhouse
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from tests.support.servers import Server

# What the embedded server's own session logs in as; the official image has no such session.
WAITING = (
    "<default><password/><networks><ip>127.0.0.1</ip></networks><profile>waiting</profile>"
    "<quota>default</quota><grants><query>GRANT SYSTEM LISTEN ON *.*</query>"
    "<query>GRANT SELECT ON system.numbers</query></grants></default>"
)
ACCESS_DENIED, WRONG_PASSWORD = 497, 516

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def port(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The native port of a server with the container's users.xml, migrated by user fleetpulse."""
    folder = DataFolder(tmp_path_factory.mktemp("container").resolve())
    folder.create()
    embedded = clickhouse.EmbeddedClickHouse(folder, free_port(), free_port(), EmbeddedSettings())
    command = embedded.prepare()
    (folder.clickhouse / "users.xml").write_text(container_users_xml().replace('<default remove="remove" />', WAITING))
    passwords = {variable: f"secret-of-{user}" for user, variable in PASSWORD_VARIABLES.items()}
    url = f"clickhouse://fleetpulse:secret-of-fleetpulse@127.0.0.1:{embedded.port}/fleetpulse"
    server = Server(
        replace(command, environment={**command.environment, **passwords}), guard, lambda: clickhouse.not_ready(url)
    )
    migrate(url)
    yield embedded.port
    server.stop()


def query(port: int, user: str, password: str, statement: str) -> int:
    """0 when the server answers, else its error code."""
    client = Client("127.0.0.1", port=port, user=user, password=password, database="fleetpulse")
    try:
        client.execute(statement)
    except ServerException as error:
        return int(error.code)
    finally:
        client.disconnect()
    return 0


@pytest.mark.parametrize("user", ["fleetpulse", "api", "grafana"])
def test_a_user_reads_the_public_views_with_its_own_password_only(port: int, user: str) -> None:
    statement = "SELECT count() FROM hosts"
    assert query(port, user, f"secret-of-{user}", statement) == 0
    assert query(port, user, "", statement) == WRONG_PASSWORD
    assert query(port, user, "secret-of-another", statement) == WRONG_PASSWORD


def test_a_reader_reads_no_table_and_no_file(port: int) -> None:
    for statement in ("SELECT * FROM ledger", "SELECT * FROM file('/etc/hosts', 'LineAsString')"):
        assert query(port, "grafana", "secret-of-grafana", statement) == ACCESS_DENIED
    assert query(port, "fleetpulse", "secret-of-fleetpulse", "SELECT * FROM ledger") == 0
