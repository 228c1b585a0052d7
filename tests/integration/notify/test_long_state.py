"""A group whose record is longer than a message of Kafka is kept, read back, and leaves nothing behind."""

import asyncio

import msgspec
import pytest

from fleetpulse.notify.notifier import Notifier, Outcome
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from stream_processors.notify.journal import Journal, position_record, read_compacted
from tests.support.notifying import MINUTE, T0, config_of, firing

pytestmark = pytest.mark.servers

HOSTS = [f"web-{number}" for number in range(3000)]
CONFIG = config_of("""\
route:
  receiver: page
  group_wait: 0s
  routes:
    - {matchers: [severity="critical"], receiver: oncall}
    - {matchers: [severity="warning"], receiver: team}
receivers:
  - name: page
  - {name: oncall, webhook_configs: [{url: 'http://x/'}]}
  - {name: team, webhook_configs: [{url: 'http://x/'}]}
""")


def grown() -> Notifier:
    """Three thousand alerts, told as warnings, of which another receiver hears as critical ones."""
    notifier = Notifier(CONFIG)
    for host in HOSTS:
        notifier.take_event(firing("Slow", host, severity="warning"))
    (told,) = notifier.due(T0)
    notifier.settle(told, Outcome.DELIVERED, T0)
    for host in HOSTS:
        alert = firing("Slow", host, T0 + 1, severity="critical", number=2)
        notifier.take_event(msgspec.structs.replace(alert, annotations={"description": host * 500}))
    return notifier


async def written(kafka: KafkaSettings, notifier: Notifier) -> None:
    journal = Journal(kafka)
    try:
        await journal.open()
        await journal.read()
        await journal.write([*notifier.changes(), position_record({0: 7})])
    finally:
        await journal.close()


async def restored(kafka: KafkaSettings) -> Notifier:
    notifier = Notifier(CONFIG)
    records, position = await Journal(kafka).read()
    assert position.alerts == {0: 7}
    notifier.restore(records.items(), T0 + 2)
    return notifier


def test_a_record_longer_than_a_message(topics: KafkaSettings) -> None:
    notifier = grown()
    (group,) = [group for group in notifier.groups.values() if group.record.left]
    assert len(msgspec.json.encode(group.record)) > MAX_MESSAGE_BYTES
    asyncio.run(written(topics, notifier))
    again = asyncio.run(restored(topics))
    assert again.groups[group.key].record.left == group.record.left
    told = again.due(T0 + 10 * MINUTE)
    assert {made.integration.name: (len(made.what.firing), len(made.what.resolved)) for made in told} == {
        "oncall/webhook/0": (len(HOSTS), 0),
        "team/webhook/0": (0, len(HOSTS)),
    }
    for made in told:
        again.settle(made, Outcome.DELIVERED, T0 + 10 * MINUTE)
    asyncio.run(written(topics, again))
    kept = asyncio.run(read_compacted(topics, Topic.NOTIFY_STATE))
    assert not [key for key in kept if b"\0" in key], "no part stays behind"
    assert group.key.encode() not in b" ".join(kept), "the group that all have left is gone"
