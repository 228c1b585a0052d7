"""Another number of partitions: the procedure, and what it refuses to throw away."""

from pathlib import Path

import pytest

from fleetpulse.errors import UnavailableError
from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.topics_command import main
from fleetpulse.unfinished import unfinished
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env, past_minute
from tests.support.running import running

pytestmark = pytest.mark.servers


def partitions(kafka: KafkaSettings, topic: Topic) -> int:
    with admin_client(kafka) as admin:
        [row] = admin.describe_topics([topic.named(kafka.topic_prefix)])
    return len(row["partitions"])


@pytest.fixture
def environment(topics: KafkaSettings, database: Database, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """Of the command, which asks for one partition more."""
    monkeypatch.setenv("FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS", topics.bootstrap_servers)
    monkeypatch.setenv("FLEETPULSE_KAFKA_TOPIC_PREFIX", topics.topic_prefix)
    monkeypatch.setenv("FLEETPULSE_KAFKA_PARTITIONS", str(topics.partitions + 1))
    monkeypatch.setenv("FLEETPULSE_CLICKHOUSE_URL", database.url)
    monkeypatch.setattr("fleetpulse.logs.set_up", lambda *arguments: None)  # the root logger is pytest's
    return topics


def test_nothing_is_deleted_that_is_not_stored_and_finished(
    environment: KafkaSettings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minute, frames = past_minute(8), FrameSender(environment)
    frames.send(frames.block("h1", minute.start_ms + 10_000, {"m": 1.0}))
    frames.flush()
    assert main(["--recreate", "--yes"]) == 1
    said = capsys.readouterr().err
    assert f"{environment.topic_prefix}.metrics: ingest has not read 1 messages" in said
    assert "stop the producers" in said
    with running("ingest", ingest_env(environment, database.url, minute.lateness_seconds), tmp_path):

        def only_the_minute() -> bool:
            found = unfinished(environment, database.url)
            return len(found) == 1 and "ingest has not finished 1 minutes of partitions" in found[0]

        eventually(only_the_minute, 40)
        assert main(["--recreate", "--yes"]) == 1
        eventually(lambda: not unfinished(environment, database.url), 40)
    assert partitions(environment, Topic.METRICS) == environment.partitions
    assert main(["--recreate", "--yes"]) == 0
    assert partitions(environment, Topic.METRICS) == environment.partitions + 1
    assert partitions(environment, Topic.METRICS_DEAD) == 1
    frames.send(frames.block("h1", minute.start_ms + 20_000, {"m": 1.0}))
    frames.close()


def test_what_cannot_be_asked_is_not_believed_to_be_finished(
    environment: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["--recreate"]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    monkeypatch.setenv("FLEETPULSE_CLICKHOUSE_URL", "clickhouse://fleetpulse@127.0.0.1:1/fleetpulse")
    with pytest.raises(UnavailableError, match="ClickHouse"):
        main(["--recreate", "--yes"])
    assert main(["--recreate", "--yes", "--lose"]) == 0
    assert partitions(environment, Topic.METRICS) == environment.partitions + 1
