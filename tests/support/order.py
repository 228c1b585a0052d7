"""The order of the test files: what waits longest first, what only computes last, so that all processes end together.

A plugin of the tests' conftest.py; `make test` gives each of its processes a file at a time, in this order.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# The files of over half a minute; a new one is better split than listed.
LONGEST = (
    "system/test_one_sample.py",
    "integration/rules/test_rules_worker.py",
    "integration/ingest/test_ingest_survives.py",
    "integration/agent/test_agent.py",
    "integration/ingest/test_clickhouse_outage.py",
    "integration/ingest/test_ingest_stores.py",
    "integration/embedded/test_up_whole.py",
    "integration/publish/test_publisher.py",
    "integration/rules/test_owners.py",
    "integration/embedded/test_up_ends.py",
    "integration/rules/test_rules_without_kafka.py",
    "integration/embedded/test_up_runs.py",
)
FOLDERS = ("faults", "system", "web", "integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file; the tests of one file stay in their order."""
    items.sort(key=lambda item: place(item.path))


def place(path: Path) -> tuple[int, int]:
    """Where a file comes: those of `LONGEST`, then by folder, then the rest."""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else path.name
    if name in LONGEST:
        return 0, LONGEST.index(name)
    folder = name.partition("/")[0]
    return 1, FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
