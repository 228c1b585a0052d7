"""`fleetpulse grafana`: what Grafana's ClickHouse data source needs."""

import argparse
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from fleetpulse.errors import FatalError
from infra.embedded import state
from infra.embedded.clickhouse import DATABASE
from infra.embedded.clickhouse_users import GRAFANA
from infra.embedded.folder import DataFolder

PLUGIN = "grafana-clickhouse-datasource"
PROVISIONING = Path(__file__).resolve().parents[1] / "grafana"


def main(argv: list[str]) -> int:
    """Print address, user and password file; raises FatalError when nothing runs."""
    parser = argparse.ArgumentParser(prog="fleetpulse grafana", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data-dir", type=Path, help="the data folder (default: .fleetpulse)")
    arguments = parser.parse_args(argv)
    folder = DataFolder.at(arguments.data_dir)
    values = _values(folder)
    if arguments.json:
        print(json.dumps(values, indent=2))
        return 0
    print(
        f"Data source       {PLUGIN} (Grafana's official ClickHouse plugin)\n"
        f"Server address    {values['host']}\n"
        f"Server port       {values['port']} with protocol native, or {values['http_port']} with protocol http\n"
        f"Default database  {values['database']}\n"
        f"User              {values['user']} (reads the public views, nothing else)\n"
        f"Password file     {values['password_file']}\n"
        "\n"
        "The password is in the file, not here. Dashboards and a provisioning file that takes these values as\n"
        f"$FLEETPULSE_… variables are in {os.path.relpath(PROVISIONING)}."
    )
    return 0


def _values(folder: DataFolder) -> dict[str, str | int]:
    running = state.read(folder)
    if running is None or not running.alive():
        raise FatalError(f"nothing runs on {folder.root}; `fleetpulse up` starts it")
    if not running.addresses["clickhouse_http"]:
        raise FatalError("ClickHouse is not the embedded one: use its own address and a read-only user of yours")
    native = urlsplit(f"//{running.addresses['clickhouse']}")
    http = urlsplit(running.addresses["clickhouse_http"])
    return {
        "plugin": PLUGIN,
        "host": native.hostname or "",
        "port": native.port or 0,
        "http_port": http.port or 0,
        "database": DATABASE,
        "user": GRAFANA,
        "password_file": str(folder.secrets / f"clickhouse-{GRAFANA}"),
    }
