"""Expressions about one host that the selectors name, and about none: which ticks evaluate them, and for whom."""

from fleetpulse.frames import columns_of
from fleetpulse.metric import with_common
from fleetpulse.rules.model import Rule, RuleKind
from tests.support.rules_world import World, alert, block


def named(name: str, expr: str) -> Rule:
    return alert(name=name, expr=expr, warning=None, critical=None, labels={})


def recorded(world: World, second: float, host: str, value: float | None) -> dict[str, float]:
    """Key → value of what is recorded when a host sends a tick."""
    outcome = world.send(second, block(host, second, value))
    found: dict[str, float] = {}
    for each in outcome.recorded:
        columns = columns_of(each)
        for key, number in zip(each.series.decode().split("\n"), columns.value.tolist(), strict=True):
            found[with_common(key, each.common)] = number
    return found


def test_what_is_absent_of_a_host_fires_when_the_host_sends_something_else() -> None:
    world = World((named("Gone", 'absent(temperature_celsius{instance="a"})'),))
    for second in range(0, 700, 10):
        world.send(
            second, block("a", second, 50.0 if second < 100 or second >= 600 else None), block("b", second, None)
        )
    assert [(event.data.status, event.data.host) for event in world.events] == [("firing", "a"), ("resolved", "a")]
    fired, resolved = world.events
    assert fired.data.labels["instance"] == "a"
    # The last sample is seen for five minutes.
    assert fired.data.starts_at.startswith("2027-01-15T08:06:30")
    assert resolved.data.ends_at.startswith("2027-01-15T08:10:00")


def test_within_one_named_host_everything_may_be_put_together() -> None:
    world = World(
        (
            Rule("one:sum", RuleKind.RECORD, 'sum({__name__=~"up|temperature_celsius",instance="a"})', "f", 1, "g"),
            Rule(
                "one:share", RuleKind.RECORD, 'up{instance="a"} / on () temperature_celsius{instance="a"}', "f", 2, "g"
            ),
            Rule(
                "one:of", RuleKind.RECORD, 'up{instance="a"} * scalar(temperature_celsius{instance="a"})', "f", 3, "g"
            ),
        )
    )
    assert recorded(world, 0, "b", 7.0) == {}
    assert recorded(world, 1, "a", 50.0) == {
        'one:sum{host="a"}': 51.0,
        'one:share{host="a"}': 0.02,
        'one:of{instance="a",job="node"}': 50.0,
    }


def test_labels_of_the_host_may_be_cut_to_pieces_for_each_host() -> None:
    short = 'label_replace(up, "rack", "$1", "instance", "(.).*")'
    world = World((Rule("own:rack", RuleKind.RECORD, short, "f", 1, "g"),))
    assert recorded(world, 0, "abc", None) == {'own:rack{instance="abc",job="node",rack="a"}': 1.0}
    assert recorded(world, 1, "xyz", None) == {'own:rack{instance="xyz",job="node",rack="x"}': 1.0}
    assert recorded(world, 10, "abc", None) == {'own:rack{instance="abc",job="node",rack="a"}': 1.0}


def test_working_hours_are_the_same_for_every_host() -> None:
    """T0 is a Friday, 08:00 UTC."""
    world = World((named("Hot", "temperature_celsius > 60 and on () (hour() >= 8 and day_of_week() < 6)"),))
    world.send(1, block("a", 0, 90.0), block("b", 0, 50.0))
    world.send(9, block("a", 8, 90.0))
    assert [(event.data.status, event.data.host) for event in world.events] == [("firing", "a")]
