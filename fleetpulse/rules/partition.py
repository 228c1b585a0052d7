"""Rules on one partition of `fleetpulse.metrics`: messages in; events, state records and recorded blocks out.

Pure: the worker (`stream_processors/rules`) reads, writes and acknowledges; a back-test may do without either.
The state is valid for exactly the next offset: a lower one is skipped, an equal one applied, and after a higher
one (messages were lost) the windows start afresh, while alerts hold until they are warm.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fleetpulse.errors import FrameError
from fleetpulse.events import AlertEvent
from fleetpulse.logs import log_fields
from fleetpulse.rules.alert_event import closing
from fleetpulse.rules.alerts import PLAIN, Change, RuleAlerts
from fleetpulse.rules.away import Away, departed_of
from fleetpulse.rules.backfill import Lack, Stored
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.evaluation import Evaluation, Unevaluated
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.machine import NEVER, Reason
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.rules.presence import Presence, is_sign_of_life
from fleetpulse.rules.presence_numbers import PresenceNumbers
from fleetpulse.rules.reading import DEFAULT_LIMITS, Batch, BlockReader, Readable, TimeLimits
from fleetpulse.rules.recorded import RecordedSeries
from fleetpulse.rules.state import MARK_KEY, AlertRecord, Mark, Saved, alert_key, encode_record, host_key
from fleetpulse.wire import Block

log = logging.getLogger(__name__)

_EVICT_EVERY_MS = 60_000  # of append time
KEYS_EVERY_MS = 900_000  # so often are keys dropped that no result had for two such times


class MetricsMessage(Readable, Protocol):
    """What is read of a message of `fleetpulse.metrics`."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Failure(NamedTuple):
    """Ticks at which a rule could not be evaluated; `host` and `cause` are the first one's."""

    ticks: int
    host: str
    cause: str


@dataclass(slots=True)
class Outcome:
    """What a batch changed. Events and records belong into one transaction; an empty outcome writes nothing."""

    events: list[AlertEvent] = field(default_factory=list)
    records: list[Change] = field(default_factory=list)
    recorded: list[Block] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)  # by the rule's key
    evaluations: int = 0
    matched_samples: int = 0
    late_samples: int = 0
    unreadable: int = 0


class PartitionRules:
    """All rules for the hosts of one partition.

    `next_offset` and `append_ms` say how far the partition is applied; None: nothing yet. Samples at times outside
    of `limits` are left out: ingest refuses them.
    """

    def __init__(
        self,
        rules: RuleSet,
        partition: int,
        partitions: int,
        limits: TimeLimits = DEFAULT_LIMITS,
        conduct: Conduct = PLAIN,
    ) -> None:
        self.next_offset: int | None = None
        self.append_ms = NEVER
        self._position_ms = NEVER
        self._filled_ms = NEVER
        self._partition = partition
        self._reader = BlockReader(partition, partitions, limits)
        self._max_future_ms = limits.future_ms
        self._rules = rules
        self._conduct = conduct
        self._presence = Presence()
        self._evaluator: StreamEvaluator | None = None
        self._recorded: RecordedSeries | None = None
        self._alerts = {rules.key_of(rule): self._alerts_of(rule, rules.key_of(rule)) for rule in rules.alerts}
        self._gap_ms, self._silent_ms = self._shortest()
        self._deadline_ms = -NEVER
        self._warm_ms = NEVER
        self._sent_ms: dict[str, int] = {}  # host → append time of its newest block, whoever sent it
        self._away = Away(conduct.forget_after_ms)
        self._behind_ms: dict[str, int] = {}  # host → the longest time that a block of the warm-up took to come
        self._evicted_ms = NEVER
        self._keys_ms = NEVER

    def _alerts_of(self, rule: Rule, key: str) -> RuleAlerts:
        return RuleAlerts(rule, key, self._presence, self._labels_of, f"partition-{self._partition}", self._conduct)

    def firing(self) -> list[str]:
        """The severity of every firing alert."""
        return [severity for alerts in self._alerts.values() for severity in alerts.firing()]

    # ---- recovery: fill, then restore, then apply

    def start(self, complete_from_ms: int) -> None:
        """Begin with windows that see everything appended since then; 0: since the partition's beginning."""
        self._evaluator = StreamEvaluator(
            self._rules, complete_from_ms=complete_from_ms, max_future_ms=self._max_future_ms
        )
        self._recorded = RecordedSeries(self._rules, self._evaluator.labels_of)
        for alerts in self._alerts.values():
            alerts.reset_keys()
        self._behind_ms.clear()  # while hosts that sent before are forgotten in time like any other
        self._warm_ms = self._evaluator.next_warm_ms
        self._filled_ms = complete_from_ms if complete_from_ms > 0 else NEVER

    def fill(self, messages: Sequence[MetricsMessage]) -> None:
        """Warm the windows with messages (at least one) that are already applied, without evaluating."""
        batch = Batch()
        for message in messages:
            departed = departed_of(message.headers)
            if departed is not None:
                self._live.take(batch, evaluate=False, now_ms=message.append_ms)
                batch = Batch()
                self._forget(departed, message.append_ms, Outcome())
            batch.add(self._read(message, Outcome()))
            self._away.note_gap(message.append_ms, self._filled_ms)
            if self._filled_ms > NEVER and message.append_ms - self._filled_ms > self._gap_ms:
                for alerts in self._alerts.values():
                    alerts.silence.note_gap(message.append_ms, self._filled_ms)
            self._filled_ms = max(self._filled_ms, message.append_ms)
        for block, append_ms in zip(batch.blocks, batch.appended_ms, strict=True):
            if isinstance(block.ts, int) and append_ms - block.ts > self._behind_ms.get(block.host, 0):
                self._behind_ms[block.host] = append_ms - block.ts
        self.append_ms = max(message.append_ms for message in messages)
        self._live.take(batch, evaluate=False, now_ms=self.append_ms)

    def restore(self, saved: Saved, next_offset: int | None, append_ms: int, filled_from_ms: int) -> Outcome:
        """Bring the alerts back as of `next_offset`, whose predecessor was appended at `append_ms`.

        Hosts not heard of since `filled_from_ms` were last heard of then, or before. The outcome ends alerts whose
        rule changed or is gone.
        """
        self.next_offset, self.append_ms, self._position_ms = next_offset, append_ms, append_ms
        if self._evaluator is not None:
            self._evaluator.adopt_filled_ticks()
        outcome = Outcome()
        for watched in saved.hosts:
            self._away.add(watched.host, self._sent_ms.get(watched.host, filled_from_ms))
            alerts = self._alerts.get(watched.rule)
            if alerts is None or alerts.rule.no_data_ms is None:
                outcome.records.append((host_key(watched.rule, watched.host), None))
            else:
                alerts.restore_host(watched, self._heard_ms(watched.rule, watched.host, filled_from_ms))
        for record in saved.alerts:
            sent_ms = self._sent_ms.get(record.host, min(self._last_heard_ms(record), filled_from_ms))
            self._away.add(record.host, sent_ms)
            self._restore_alert(record, self._heard_ms(record.rule, record.host, filled_from_ms), outcome)
        self._restore_values(saved.alerts)
        for key, each in self._alerts.items():
            if saved.mark is not None and key in saved.mark.resumed_ms:
                each.silence.resume(saved.mark.resumed_ms[key])
            outcome.events += each.settle(append_ms, filled_from_ms)
        self._set_deadline(append_ms)
        return self._finish(outcome)

    def _restore_alert(self, record: AlertRecord, heard_ms: int, outcome: Outcome) -> None:
        alerts = self._alerts.get(record.rule)
        changed = alerts is not None and not alerts.may_keep(record)
        if alerts is not None and not changed:
            last_tick = self._evaluator.last_tick(alerts.rule, record.host) if self._evaluator is not None else None
            alerts.restore_alert(record, heard_ms, NEVER if last_tick is None else last_tick)
            return
        reason = Reason.RULE_CHANGED if changed else Reason.RULE_DELETED
        event = closing(record, max(self.append_ms, record.last_eval_ms), reason)
        outcome.events += [event] if event else []
        outcome.records.append((alert_key(record.rule, record.host, record.fingerprint, record.no_data), None))

    def _restore_values(self, records: Sequence[AlertRecord]) -> None:
        hosts_of: dict[str, set[str]] = {}
        for record in records:
            hosts_of.setdefault(record.rule, set()).add(record.host)
        for key, hosts in hosts_of.items():
            alerts = self._alerts.get(key)
            if alerts is not None and self._evaluator is not None:
                evaluation = self._evaluator.evaluate_again(alerts.rule, hosts)
                if evaluation is not None:
                    alerts.restore_values(evaluation, self._numbers().of(evaluation.host))

    def _last_heard_ms(self, record: AlertRecord) -> int:
        """When the host of a saved alert last sent, as far as the alert knows."""
        alerts = self._alerts.get(record.rule)
        if alerts is None or not record.no_data:
            return record.last_eval_ms
        return record.start_ms - alerts.policy.silent_ms

    def _heard_ms(self, key: str, host: str, filled_from_ms: int) -> int:
        """When a host last sent something for a rule, or a little later: append time, from what was filled in."""
        alerts = self._alerts.get(key)
        if alerts is None or self._evaluator is None:
            return filled_from_ms
        tick = self._evaluator.last_tick(alerts.rule, host)
        if tick is None:
            return filled_from_ms
        heard_ms = self._presence.hosts[self._presence.number(host)].heard_ms
        newest_ms = heard_ms if heard_ms > NEVER else self.append_ms
        return max(filled_from_ms, min(newest_ms, tick + self._behind_ms.get(host, 0)))

    # ---- the past of long windows, which comes while the partition is live

    @property
    def windows(self) -> object:
        """The windows; another object when they began afresh."""
        return self._evaluator

    def lacks(self) -> list[Lack]:
        """What long windows that are not warm need of the past; the alerts that read them hold meanwhile."""
        return [] if self._evaluator is None else self._evaluator.lacks()

    def adopt(self, stored: Stored) -> None:
        """Put stored samples of the past into long windows: all that was appended before `seam` must be in storage."""
        self._live.adopt(stored)
        for host in stored.host:
            self._sent_ms.setdefault(host, self.append_ms)  # to be forgotten like any other

    def fill_back(self) -> None:
        """All that `lacks` named was adopted."""
        self._live.fill_back()
        self._warm_ms = self._live.next_warm_ms

    # ---- live

    def replace_rules(self, rules: RuleSet) -> Outcome | None:
        """Go on with other rules between two batches; the outcome is to be written before the next one.

        None, and nothing has changed, when they need windows that are not here: recover with them. Rules whose
        `Rule.hash` is the same keep their alerts, whatever their thresholds and times are now. Alerts of a rule whose
        expression or labels changed end with ``rule_changed``, of one that is gone with ``rule_deleted``. Raises
        RuleError for a rule that cannot run on the stream; then nothing has changed.
        """
        if self._evaluator is not None and not self._evaluator.replace_rules(rules):
            return None
        before, self._rules = self._alerts, rules
        self._alerts = {}
        for rule in rules.alerts:
            key = rules.key_of(rule)
            kept = before[key] if key in before and before[key].goes_on_as(rule) else None
            self._alerts[key] = kept or self._alerts_of(rule, key)
        outcome = Outcome()
        for key, old in before.items():
            if self._alerts.get(key) is not old:
                self._hand_over(old, outcome)
        if self._evaluator is not None:
            self._recorded = RecordedSeries(rules, self._evaluator.labels_of)
            self._warm_ms = self._evaluator.next_warm_ms
        self._gap_ms, self._silent_ms = self._shortest()
        self._set_deadline(self._position_ms)
        return self._finish(outcome)

    def _hand_over(self, old: RuleAlerts, outcome: Outcome) -> None:
        """What a rule that changed or is gone remembers goes to its successor, or ends."""
        heir = self._alerts.get(old.key)
        heir = heir if heir is not None and heir.rule.hash == old.rule.hash else None
        for watched in old.watched():
            if heir is None or heir.rule.no_data_ms is None:
                outcome.records.append((host_key(watched.rule, watched.host), None))
            else:
                heir.restore_host(watched, NEVER)
        for record in old.records():
            self._restore_alert(record, NEVER, outcome)
        if heir is not None:
            heir.take_over(old)

    def apply(self, messages: Sequence[MetricsMessage]) -> Outcome:
        """Apply messages in the order of their offsets."""
        outcome = Outcome()
        batch = Batch()
        for message in messages:
            if not self._is_next(message):
                continue
            if batch.blocks and self._ends(batch, message.append_ms):
                self._evaluate(batch, outcome)
                batch = Batch()
            if self._is_due(message.append_ms):
                self._advance(message.append_ms, self._position_ms, outcome)
            self._away.note_gap(message.append_ms, self._position_ms)
            self._position_ms = max(self._position_ms, message.append_ms)
            self.append_ms = message.append_ms
            departed = departed_of(message.headers)
            if departed is not None:
                self._evaluate(batch, outcome)
                batch = Batch()
                self._forget(departed, message.append_ms, outcome)
            batch.add(self._read(message, outcome))
        self._evaluate(batch, outcome)
        return self._finish(outcome)

    def wait(self, waited_ms: int) -> Outcome:
        """Nothing came for so long after the last message, although the partition was read to its end."""
        outcome = Outcome()
        position_ms = self.append_ms + waited_ms
        if self.append_ms > NEVER and position_ms > self._position_ms:
            if position_ms > self._deadline_ms:
                self._advance(position_ms, NEVER, outcome)  # waiting is no gap: the end was fetched all the time
            self._position_ms = position_ms
        return self._finish(outcome)

    def _is_next(self, message: MetricsMessage) -> bool:
        expected = self.next_offset
        if expected is not None and message.offset < expected:
            return False
        if self._evaluator is None:
            self.start(0 if message.offset == 0 else message.append_ms)
        elif expected is not None and message.offset > expected:
            lost = message.offset - expected
            log.warning("messages are gone", extra=log_fields(partition=self._partition, at=expected, messages=lost))
            self.start(message.append_ms)
        self.next_offset = message.offset + 1
        return True

    def _ends(self, batch: Batch, append_ms: int) -> bool:
        """Whether what was read is to be evaluated before a message: as if each were a batch of its own."""
        # Who sent first in this batch may be silent by then; and a rule that turns warm is warm for later ticks only.
        silent = append_ms - batch.appended_ms[0] > self._silent_ms
        return silent or self._is_due(append_ms) or append_ms >= self._warm_ms

    def _is_due(self, append_ms: int) -> bool:
        gap = self._position_ms > NEVER and append_ms - self._position_ms > self._gap_ms
        return gap or append_ms > self._deadline_ms

    def _advance(self, position_ms: int, previous_ms: int, outcome: Outcome) -> None:
        for alerts in self._alerts.values():
            outcome.events += alerts.advance(position_ms, previous_ms)
        self._set_deadline(position_ms)

    def _evaluate(self, batch: Batch, outcome: Outcome) -> None:
        if batch.blocks:
            self._observe(batch, outcome)
            self._set_deadline(self._position_ms)
            self._warm_ms = self._live.next_warm_ms

    def _observe(self, batch: Batch, outcome: Outcome) -> None:
        assert self._recorded is not None
        matched, late = self._live.matched_samples, self._live.late_samples
        evaluations = self._live.take(batch, now_ms=self.append_ms)
        outcome.matched_samples += self._live.matched_samples - matched
        outcome.late_samples += self._live.late_samples - late
        outcome.recorded += self._recorded.blocks(evaluations)
        outcome.evaluations += sum(len(evaluation.host) for evaluation in evaluations)
        self._note_failures(evaluations, outcome)
        unseen = [waiting for evaluation in evaluations for waiting in self._live.waiting_on(evaluation)]
        self._alert(evaluations, unseen + self._live.take_late(), outcome)

    def _note_failures(self, evaluations: list[Evaluation], outcome: Outcome) -> None:
        for evaluation in evaluations:
            if evaluation.errors:
                place, cause = next(iter(evaluation.errors.items()))
                key = self._rules.key_of(evaluation.rule)
                failure = Failure(len(evaluation.errors), evaluation.names[evaluation.host[place]], cause)
                known = outcome.failures.get(key)
                outcome.failures[key] = known._replace(ticks=known.ticks + failure.ticks) if known else failure

    def _numbers(self) -> PresenceNumbers:
        return PresenceNumbers(self._presence, self._live.host_names, self._live.host_capacity)

    def _alert(
        self, evaluations: list[Evaluation], unevaluated: list[tuple[Rule, Unevaluated]], outcome: Outcome
    ) -> None:
        numbers = self._numbers()
        by_rule: dict[str, tuple[list[Evaluation], list[Unevaluated]]] = {}
        for evaluation in evaluations:
            by_rule.setdefault(self._rules.key_of(evaluation.rule), ([], []))[0].append(evaluation)
        for rule, late in unevaluated:
            by_rule.setdefault(self._rules.key_of(rule), ([], []))[1].append(late)
        for key, (found, others) in by_rule.items():
            alerts = self._alerts.get(key)
            if alerts is None:
                continue
            evaluated = [(numbers.of(each.host), each.appended_ms) for each in found]
            outcome.events += alerts.heard(evaluated, [(numbers.of(each.host), each.appended_ms) for each in others])
            for evaluation, (hosts, _) in zip(found, evaluated, strict=True):
                outcome.events += alerts.evaluate(evaluation, hosts)

    def _finish(self, outcome: Outcome) -> Outcome:
        self._evict(outcome)
        for alerts in self._alerts.values():
            outcome.records += alerts.take_changes()
        if (outcome.records or outcome.events) and self.next_offset is not None:
            found = {key: alerts.silence.resumed_ms(self._position_ms) for key, alerts in self._alerts.items()}
            resumed_ms = {key: at_ms for key, at_ms in found.items() if at_ms is not None}
            mark = Mark(self.next_offset, self.append_ms, resumed_ms=resumed_ms)
            outcome.records.append((MARK_KEY, encode_record(mark)))
        return outcome

    def _read(self, message: MetricsMessage, outcome: Outcome) -> Batch:
        # What cannot be read is ingest's dead letter; here it is only counted.
        try:
            batch = self._reader.read(message)
        except FrameError as error:
            outcome.unreadable += 1
            place = {"partition": self._partition, "offset": message.offset}
            log.warning("message skipped", extra=log_fields(**place, reason=error.reason, cause=str(error)))
            return Batch()
        append_ms, sent_ms, heard = message.append_ms, self._sent_ms, self._presence.heard
        alive = all(name != "fp-derived" for name, _ in message.headers)
        if not alive:  # what was recorded of a host comes back after it departed, or was forgotten
            batch = batch.of_hosts(sent_ms)
        for block, digest in zip(batch.blocks, batch.digests, strict=True):
            sent_ms[block.host] = append_ms
            if alive and is_sign_of_life(block):
                heard(block, append_ms, digest)
        return batch

    def _evict(self, outcome: Outcome) -> None:
        """Forget the windows of hosts that sent nothing for so long that nothing of them can be read any more.

        A host for which nothing is open and whose silence nobody minds is forgotten altogether; any other one later.
        """
        if self._evaluator is None or self._position_ms - self._evicted_ms < _EVICT_EVERY_MS:
            return
        self._evicted_ms = self._position_ms
        silent_ms = max((alerts.policy.silent_ms for alerts in self._alerts.values()), default=0)
        self._presence.forget_returned(self._position_ms - 2 * silent_ms)
        kept_ms = self._evaluator.longest_ms + self._max_future_ms + silent_ms
        gone = [host for host, sent_ms in self._sent_ms.items() if sent_ms < self._position_ms - kept_ms]
        for host in gone:
            self._away.add(host, self._sent_ms.pop(host))
            self._forget_windows(host)
        for alerts in self._alerts.values():
            alerts.forget_changes(self._position_ms)
            alerts.forget_idle(self._position_ms)
        for host, at_ms in self._away.due(self._position_ms, self._sent_ms, self._needs):
            self._forget(host, at_ms, outcome)
        if self._position_ms - self._keys_ms >= KEYS_EVERY_MS:
            self._keys_ms = self._position_ms
            self._forget_series()

    def _forget_series(self) -> None:
        """Series come and go on hosts that stay: what names a series that is in no result any more is dropped."""
        keys = self._live.forget_unused_keys()
        for alerts in self._alerts.values():
            alerts.forget_series(keys)
        if keys and self._recorded is not None:
            self._recorded.forget_keys()

    def _forget_windows(self, host: str) -> None:
        keys = self._live.forget(host)
        for alerts in self._alerts.values():
            alerts.forget_keys(host, keys)
        if keys and self._recorded is not None:
            self._recorded.forget_keys()

    def _needs(self, host: str) -> bool:
        number = self._presence.known(host)
        return number is not None and any(alerts.needs(number) for alerts in self._alerts.values())

    def _forget(self, host: str, at_ms: int, outcome: Outcome) -> None:
        """The host is gone for good: end its alerts, keep nothing of it."""
        self._away.discard(host)
        number = self._presence.known(host)
        if number is None:
            return
        self._sent_ms.pop(host, None)
        self._forget_windows(host)
        for alerts in self._alerts.values():
            outcome.events += alerts.forget_host(number, at_ms)
        self._presence.forget(host)

    def _shortest(self) -> tuple[int, int]:
        """The shortest gap of the partition that restarts timers, and the shortest silence that a rule minds, in ms."""
        alerts = self._alerts.values()
        gap_ms = min((each.silence.gap_ms for each in alerts), default=-NEVER)
        return gap_ms, min((each.policy.silent_ms for each in alerts), default=-NEVER)

    def _set_deadline(self, position_ms: int) -> None:
        self._deadline_ms = min((each.deadline_ms(position_ms) for each in self._alerts.values()), default=-NEVER)

    @property
    def _live(self) -> StreamEvaluator:
        assert self._evaluator is not None, "start() comes first"
        return self._evaluator

    def _labels_of(self, key: int) -> dict[str, str]:
        return dict(self._live.labels_of(key))
