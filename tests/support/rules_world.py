"""One partition of the metrics topic with the real rules on it, and what a worker does around them. No server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fleetpulse.events import AlertEvent, decode_event, encode_event
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.model import Rule, RuleKind, Threshold, rule_set
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.state import read_records
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block

T0 = 1_800_000_000_000
TEMPERATURE = 'temperature_celsius{instance="%s"}'


@dataclass(frozen=True)
class Sent:
    """A message of the metrics topic."""

    offset: int
    append_ms: int
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def block(host: str, second: float, value: float | None = 50.0, job: str = "node") -> Block:
    keys = [f'up{{instance="{host}"}}']
    values = [1.0]
    if value is not None:
        keys.append(TEMPERATURE % host)
        values.append(value)
    return make_block(host, {"job": job}, join_keys(keys), T0 + int(1000 * second), values)


def alert(**changes: object) -> Rule:
    rule = Rule(
        name="Hot",
        kind=RuleKind.ALERT,
        expr="temperature_celsius",
        file="test.yaml",
        line=1,
        group="test",
        labels={"team": "{{ $labels.job }}-team"},
        annotations={"summary": "{{ $labels.instance }} is at {{ $value }}"},
        warning=Threshold(">", 80.0),
        critical=Threshold(">", 95.0),
    )
    return replace(rule, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """One partition, its topic and its state topic."""

    rules: tuple[Rule, ...]
    offset: int = 0
    topic: list[Sent] = field(default_factory=list)
    states: list[tuple[bytes | None, bytes | None]] = field(default_factory=list)
    events: list[AlertEvent] = field(default_factory=list)
    conduct: Conduct = PLAIN
    live: PartitionRules = field(init=False)

    def __post_init__(self) -> None:
        self.live = self.fresh()

    def fresh(self) -> PartitionRules:
        return PartitionRules(rule_set(self.rules), 0, 1, conduct=self.conduct)

    def publish(self, append_second: float, *blocks: Block, headers: Sequence[tuple[str, bytes]] = ()) -> Sent:
        append_ms = T0 + int(1000 * append_second)
        message = Sent(len(self.topic), append_ms, encode_frame(Frame(1, append_ms, list(blocks))), headers)
        self.topic.append(message)
        return message

    def done(self, outcome: Outcome) -> Outcome:
        """What the worker does with an outcome: one transaction."""
        self.events += [decode_event(encode_event(event)) for event in outcome.events]
        self.states += outcome.records
        return outcome

    def send(self, append_second: float, *blocks: Block, headers: Sequence[tuple[str, bytes]] = ()) -> Outcome:
        return self.done(self.live.apply([self.publish(append_second, *blocks, headers=headers)]))

    def restart(self, rules: tuple[Rule, ...] | None = None, seconds: int = 300) -> Outcome:
        """SIGKILL, and a new owner: state from the records, windows by re-reading, nothing else."""
        self.rules = self.rules if rules is None else rules
        applied, append_ms = self.live.next_offset or 0, self.live.append_ms
        from_ms = append_ms - 1000 * seconds
        self.live = self.fresh()
        again = [message for message in self.topic[:applied] if message.append_ms >= from_ms]
        self.live.start(0 if again and again[0].offset == 0 else from_ms)
        self.live.fill(again)
        return self.done(self.live.restore(read_records(self.states), applied, append_ms, from_ms))

    def replace(self, rules: tuple[Rule, ...], seconds: int = 300) -> Outcome:
        """Other rules, as a worker takes them: between two batches, or as a new owner where windows are missing."""
        self.rules = rules
        outcome = self.live.replace_rules(rule_set(rules))
        return self.restart(seconds=seconds) if outcome is None else self.done(outcome)

    def shown(self) -> list[tuple[str, str, str, int]]:
        return [
            (e.data.status, e.data.reason, e.data.labels.get("severity", ""), e.data.transition) for e in self.events
        ]


def feed(world: World, host: str, seconds: Sequence[int], value: float = 50.0) -> None:
    for second in seconds:
        world.send(second, block(host, second, value))


HOST_SILENT = alert(name="HostSilent", expr="up == 0", labels={"severity": "critical"}, warning=None, critical=None)
HOST_SILENT = replace(HOST_SILENT, no_data_ms=120_000)
