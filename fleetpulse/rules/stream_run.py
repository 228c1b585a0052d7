"""Rules as they run live, over samples of a test or of stored history: messages as on `fleetpulse.metrics`."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.state import AlertRecord
from fleetpulse.wire import Block, Frame, Header, encode_frame

LONG_AGO_MS = -(10**14)  # windows have seen everything since: nothing has to warm up
_MOST_CHAINED = 100  # recordings of recordings: more is one that feeds itself


@dataclass(frozen=True, slots=True)
class _Message:
    offset: int
    append_ms: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Standing(PartitionRules):
    """A partition whose pending and firing alerts can be looked at."""

    def records(self) -> list[AlertRecord]:
        """Every alert that is pending or fires now."""
        return [record for alerts in self._alerts.values() for record in alerts.records()]


class StreamRun:
    """One partition with all hosts. `events` are all so far, in order."""

    def __init__(self, rules: RuleSet, complete_from_ms: int = LONG_AGO_MS, conduct: Conduct = PLAIN) -> None:
        """`complete_from_ms`: since when everything is sent; windows are warm from their reach later on."""
        self.events: list[AlertEvent] = []
        self.at_ms = LONG_AGO_MS
        self.last = Outcome()  # of what was sent last, without what rules recorded of it
        self._live = Standing(rules, 0, 1, conduct=conduct)
        self._live.start(complete_from_ms)
        self._offset = 0

    def records(self) -> list[AlertRecord]:
        """Every alert that is pending or fires now."""
        return self._live.records()

    def send(self, append_ms: int, blocks: Sequence[Block]) -> None:
        """What is appended at a time, and what rules record of it."""
        self.last = self._live.apply([self._message(append_ms, blocks)])
        recorded = self._done(self.last)
        self.at_ms = append_ms
        for _ in range(_MOST_CHAINED):
            if not recorded:
                break
            recorded = self._done(self._live.apply([self._message(append_ms, recorded, derived=True)]))

    def wait(self, until_ms: int) -> None:
        """Nothing more is appended up to a time."""
        if self._live.append_ms >= 0 and until_ms > self._live.append_ms:
            self._done(self._live.wait(until_ms - self._live.append_ms))
            self.at_ms = until_ms

    def _message(self, append_ms: int, blocks: Sequence[Block], derived: bool = False) -> _Message:
        headers = [(Header.DERIVED.value, b"1")] if derived else []
        message = _Message(self._offset, append_ms, encode_frame(Frame(1, append_ms, list(blocks))), headers)
        self._offset += 1
        return message

    def _done(self, outcome: Outcome) -> list[Block]:
        self.events += outcome.events
        return outcome.recorded

    def firing(self, alertname: str, at_ms: int) -> list[AlertEvent]:
        """The newest event of each alert of a name that fires at a time, up to which the run came."""
        latest: dict[str, AlertEvent] = {}
        for event in self.of(alertname, at_ms):
            latest[event.data.episode] = event
        return [event for event in latest.values() if event.data.status == "firing"]

    def of(self, alertname: str, until_ms: int | None = None) -> list[AlertEvent]:
        """The events of the rules of a name, up to a time, in order."""
        named = [event for event in self.events if event.data.labels["alertname"] == alertname]
        return [event for event in named if until_ms is None or from_rfc3339(event.time) <= until_ms]
