"""The outbox's way to Apache Kafka: in order, again after a failure, and mended when the topic says something else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from api.rule_book import FileText, RuleBook
from api.silence_book import SilenceBook
from api.silence_models import SilenceChange, SilenceMatcher
from api.store import outbox, rules, silences
from api.store.engine import Database
from api.store.publisher import OutboxPublisher
from api.store.rules import Change
from api.store.topic_state import latest
from fleetpulse.clock import ManualClock
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.rules.published import AUTHORITY_KEY, decode, has_more
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.alerting import read_by_kafka_python
from tests.support.eventually import eventually
from tests.support.published_rules import group_text

pytestmark = pytest.mark.servers


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/api.sqlite")
    yield database
    database.close()


def publisher(database: Database, kafka: KafkaSettings, metrics: SelfMetrics) -> OutboxPublisher:
    found = OutboxPublisher(database, kafka, metrics)
    found.keep(Topic.RULES, lambda connection: rules.records(connection, 0))
    return found


def save(database: Database, name: str, *texts: str | None) -> None:
    with database.write() as connection:
        for text in texts:
            rules.save(connection, Change(name, "api", "", text), "ada", 0, more=text is not texts[-1])


def owed(database: Database) -> int:
    with database.read() as connection:
        return outbox.count(connection)


def held(kafka: KafkaSettings) -> dict[str, str]:
    found = {key: decode(key, value) for key, value in latest(kafka, Topic.RULES).items()}
    return {key: getattr(record, "text", "") for key, record in found.items()}


def test_changes_are_published_in_their_order_and_leave_the_outbox(database: Database, topics: KafkaSettings) -> None:
    metrics = SelfMetrics()
    with publisher(database, topics, metrics):
        eventually(lambda: AUTHORITY_KEY in held(topics))
        save(database, "a", "one", "two")
        save(database, "b", "three")
        save(database, "a", None)
        eventually(lambda: not owed(database))
    found: list[Any] = read_by_kafka_python(topics, Topic.RULES, 5)[1:]
    assert [(message.key, message.value is None, has_more(message.headers)) for message in found] == [
        (b"a", False, True),
        (b"a", False, False),
        (b"b", False, False),
        (b"a", True, False),
    ]
    assert held(topics) == {"b": "three", AUTHORITY_KEY: ""}
    assert metrics.get("fleetpulse_outbox_published_total", topic="rules") == 5


def test_what_kafka_did_not_take_is_published_by_the_next_process(
    database: Database, topics: KafkaSettings, tmp_path: Path
) -> None:
    metrics = SelfMetrics()
    with publisher(database, KafkaSettings(bootstrap_servers="127.0.0.1:1"), metrics):
        save(database, "a", "one")
        eventually(lambda: metrics.get("fleetpulse_outbox_failures_total") >= 2)
    assert owed(database) == 1
    again = Database(f"sqlite:///{tmp_path}/api.sqlite")
    with publisher(again, topics, metrics):
        eventually(lambda: held(topics) == {"a": "one", AUTHORITY_KEY: ""})
        eventually(lambda: not owed(again))
    again.close()


def test_a_topic_that_differs_is_brought_to_the_database(database: Database, topics: KafkaSettings) -> None:
    producer = KafkaProducer(**kafka_python_config(topics), metrics_enabled=False)
    for key, value in ((b"stranger", b"{}"), (b"a", b"old")):
        producer.send(Topic.RULES.named(topics.topic_prefix), key=key, value=value).get(30)
    producer.close()
    save(database, "a", "one")
    with database.write() as connection:
        outbox.done(connection, [row.id for row in outbox.waiting(connection, 10)])  # as if it had been sent
    with publisher(database, topics, SelfMetrics()):
        eventually(lambda: held_texts(topics) == {"a": "one", AUTHORITY_KEY: ""})


def test_a_new_database_takes_over_what_the_topic_has_of_a_lost_one(
    database: Database, topics: KafkaSettings, tmp_path: Path
) -> None:
    lost = Database(f"sqlite:///{tmp_path}/lost.sqlite")
    made = group_text("made", '{alert: Made, expr: "x > 1"}')
    boot = FileText("boot.yaml", group_text("boot", '{alert: Boot, expr: "x > 2"}'))
    with publisher(lost, topics, SelfMetrics()):
        RuleBook(lost, ManualClock(5), 15).create(made, "ada")
        eventually(lambda: held(topics) == {"made": made, AUTHORITY_KEY: ""})
    lost.close()

    book = RuleBook(database, ManualClock(9), 15)
    book.bootstrap([boot], "start")
    found = OutboxPublisher(database, topics, SelfMetrics())
    found.keep(Topic.RULES, lambda connection: rules.records(connection, 0), book.adopt)
    with found:
        eventually(lambda: held(topics) == {"made": made, "boot": boot.text, AUTHORITY_KEY: ""})
    version, group = book.group("made")
    assert (version.owner, version.author, version.changed_ms, version.version) == ("api", "ada", 5, 1)
    assert [rule.name for rule in group.rules] == ["Made"]


def held_texts(kafka: KafkaSettings) -> dict[str, str]:
    try:
        return held(kafka)
    except Exception as error:  # what was there before cannot be decoded
        return {"": repr(error)}


def test_silences_of_a_lost_database_stay_in_force(database: Database, topics: KafkaSettings, tmp_path: Path) -> None:
    def publishing(store: Database) -> OutboxPublisher:
        found = OutboxPublisher(store, topics, SelfMetrics())
        found.keep(Topic.SILENCES, silences.records, SilenceBook(store, clock).adopt)
        return found

    def of(store: Database) -> set[str]:
        return {silence.id for silence in SilenceBook(store, clock).listed(state="active")}

    clock = ManualClock(1_800_000_000_000)
    matcher = SilenceMatcher(name="alertname", value="HostSilent", isRegex=False, isEqual=True)
    lost = SilenceBook(database, clock)
    change = SilenceChange(kind="silence", createdBy="ada", comment="moving", matchers=[matcher], duration="2h")
    kept, ended = lost.create(change), lost.create(change)
    lost.expire(ended.id, "ada")
    with publishing(database):
        eventually(lambda: owed(database) == 0)
    new = Database(f"sqlite:///{tmp_path}/new.sqlite")
    try:
        with publishing(new):
            eventually(lambda: of(new) == {kept.id} and owed(new) == 0)
        assert kept.id in latest(topics, Topic.SILENCES)
        SilenceBook(new, clock).expire(kept.id, "ada")
        with publishing(new):
            eventually(lambda: owed(new) == 0)
        assert of(new) == set()
    finally:
        new.close()
