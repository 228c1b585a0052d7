"""`python -m infra.clickhouse.users`: write the official image's users.d file from what the embedded server has.

Rights and limits are decided once, in `infra/embedded/clickhouse_users.py`. In a container the passwords come from
its environment, the network is the one that compose makes, and there is no session inside the server to restrict.
"""

from pathlib import Path
from xml.etree import ElementTree

from infra.embedded.clickhouse import DATABASE
from infra.embedded.clickhouse_users import API, GRAFANA, SERVICE, users_xml

FILE = Path(__file__).with_name("users.xml")
MEMORY_MB = 4096  # of the container in docker-compose.yml
PASSWORD_VARIABLES = {
    SERVICE: "CLICKHOUSE_SERVICE_PASSWORD",
    API: "CLICKHOUSE_API_PASSWORD",
    GRAFANA: "CLICKHOUSE_GRAFANA_PASSWORD",
}
_HEADER = "<!-- Written by `python -m infra.clickhouse.users`. -->\n"


def container_users_xml() -> str:
    """The file for users.d/ of the container."""
    root = ElementTree.fromstring(users_xml(dict.fromkeys(PASSWORD_VARIABLES, ""), (DATABASE,), MEMORY_MB))
    users = root.find("users")
    assert users is not None
    for user in list(users):
        if user.tag not in PASSWORD_VARIABLES:
            users.remove(user)
            users.append(ElementTree.Element(user.tag, remove="remove"))  # the image's own, which has no password
            continue
        for element in list(user):
            if element.tag.startswith("password"):
                user.remove(element)
        password = ElementTree.Element("password", from_env=PASSWORD_VARIABLES[user.tag])
        user.insert(0, password)
        for address in user.iterfind("networks/ip"):
            address.text = "::/0"
    ElementTree.indent(root)
    return _HEADER + ElementTree.tostring(root, encoding="unicode") + "\n"


if __name__ == "__main__":
    FILE.write_text(container_users_xml())
