"""The database that tests of the API's store run on: SQLite, or the PostgreSQL of FLEETPULSE_TEST_DATABASE_URL.

The tests empty that one. Its driver is none of our dependencies: put it on PYTHONPATH.
"""

import os
from pathlib import Path

from sqlalchemy import create_engine, text


def fresh_store_url(folder: Path) -> str:
    """The URL of an empty database."""
    url = os.environ.get("FLEETPULSE_TEST_DATABASE_URL", "")
    if not url:
        return f"sqlite:///{folder}/deep/api.sqlite"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url
