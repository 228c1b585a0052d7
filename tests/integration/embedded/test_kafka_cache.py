"""Kafka starts in spite of a broken start-up cache."""

from pathlib import Path

import pytest

from fleetpulse.settings import EmbeddedSettings, KafkaSettings
from infra.embedded import jars, kafka
from infra.embedded.child import Child
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from infra.embedded.progress import Progress
from infra.embedded.wait import wait_ready

pytestmark = pytest.mark.servers


def test_a_broken_cache_is_passed_over(tmp_path: Path, guard: Guard) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    copied = tmp_path / "jars"
    copied.mkdir()
    for jar in jars.fetch(jars.default_folder(), Progress()).glob("*.jar"):
        (copied / jar.name).symlink_to(jar)
    jars.start_up_cache(copied).write_bytes(b"not a cache" * 1000)
    broker = kafka.EmbeddedKafka(folder, copied, free_port(), EmbeddedSettings())
    command = broker.prepare()
    assert any("AOTCache" in argument for argument in command.arguments)
    child = Child(command, guard)
    try:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        wait_ready(child, lambda: kafka.not_ready(settings), 90.0)
    finally:
        child.stop(20.0)
