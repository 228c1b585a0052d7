"""The fixtures themselves: both servers answer, with topics and a database of the test's own."""

import pytest
from clickhouse_driver import Client

from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.databases import Database

pytestmark = pytest.mark.servers


def test_topics_exist_on_the_real_broker(topics: KafkaSettings) -> None:
    with admin_client(topics) as admin:
        names = set(admin.list_topics())
    assert {topic.named(topics.topic_prefix) for topic in Topic} <= names


def test_the_database_is_migrated_and_readers_see_the_views(database: Database) -> None:
    client = Client.from_url(database.url)
    assert client.execute("SELECT count() FROM samples") == [(0,)]
    for user in ("api", "grafana"):
        reader = Client.from_url(database.url_for(user))
        assert reader.execute("SELECT count() FROM metrics") == [(0,)]
        reader.disconnect()
    client.disconnect()
