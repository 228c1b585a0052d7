"""Which hosts there are, what they are called, and whether they live."""

import pytest

from fleetpulse.rules.presence import Presence, is_sign_of_life, labels_of_up
from fleetpulse.wire import Block, join_keys, make_block

T0 = 1_800_000_000_000


def block(*keys: str, ts: int = T0, **common: str) -> Block:
    return make_block("a", common, join_keys(keys), ts, [1.0] * len(keys))


def labelled(common: dict[str, str]) -> Block:
    return make_block("a", common, join_keys(["up"]), T0, [1.0])


@pytest.mark.parametrize(
    ("sent", "identity"),
    [
        (block("cpu", 'up{job="node"}', instance="a:9100"), {"instance": "a:9100", "job": "node"}),
        (block("up", instance="a", rack="7"), {"instance": "a", "rack": "7"}),
        (block('cpu{cpu="0",instance="a:1"}', 'uptime{instance="a:1"}'), {"instance": "a:1"}),
        (block("cpu", host="a"), {"instance": "a"}),
    ],
)
def test_a_host_is_called_as_its_series_up_says(sent: Block, identity: dict[str, str]) -> None:
    presence = Presence()
    presence.heard(sent, T0)
    assert presence.hosts[presence.number("a")].identity == identity


def test_the_labels_of_up_are_found_wherever_it_stands() -> None:
    assert labels_of_up(block("up_total", "upper", job="x")) == {}
    assert labels_of_up(block("upper", 'up{a="b"}', job="x")) == {"job": "x", "a": "b"}


def test_a_host_lives_only_when_it_was_heard_of_all_the_time() -> None:
    presence = Presence()
    for second in range(0, 400, 10):
        presence.heard(block("up"), T0 + 1000 * second)
    assert presence.lives(0, T0 + 400_000, 120_000)
    assert not presence.lives(0, T0 + 600_000, 120_000), "silent by now"
    presence.heard(block("up"), T0 + 900_000)
    assert not presence.lives(0, T0 + 900_001, 120_000), "back since a moment"
    assert not Presence().hosts


def test_only_the_host_itself_is_a_sign_of_its_life() -> None:
    assert is_sign_of_life(block("up", job="node"))
    assert not is_sign_of_life(block("fleetpulse_build_info", job="fleetpulse"))


def test_the_newest_time_is_of_columns_too() -> None:
    presence = Presence()
    presence.heard(make_block("a", {}, b"x", [T0, T0 + 5], [1.0, 1.0], [0, 0]), T0)
    assert presence.hosts[0].newest_ms == T0 + 5


@pytest.mark.parametrize(
    "sent",
    [
        block("{{{", "up{"),
        labelled({f"label_{number}": "x" for number in range(65)}),
        block("up", instance="x" * 4097),
        labelled({"not a name": "x"}),
    ],
)
def test_labels_that_ingest_refuses_do_not_name_a_host(sent: Block) -> None:
    presence = Presence()
    presence.heard(sent, T0)
    assert presence.hosts[0].identity == {"instance": "a"}
