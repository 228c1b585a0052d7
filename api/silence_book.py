"""What may be done with silences, acknowledgements and maintenance windows: checked, written, and told to everybody."""

import uuid
from collections.abc import Mapping

import msgspec

from api.errors import NotFoundError, ParameterError
from api.silence_models import SilenceChange
from api.store import silences
from api.store.engine import Database
from api.times import parse_time
from fleetpulse.clock import Clock, to_rfc3339
from fleetpulse.errors import RuleError
from fleetpulse.rules.fields import parse_duration
from fleetpulse.silences import AckedAlert, LabelMatcher, Silence, matchers_of, milliseconds

LONGEST_MS = 366 * 24 * 3_600_000


class SilenceBook:
    """The silences of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self.started_ms = clock.now_ms()

    def now_ms(self) -> int:
        """Wall time."""
        return self._clock.now_ms()

    def listed(self, kind: str | None = None, state: str | None = None) -> list[Silence]:
        """Those of a kind and state."""
        now_ms = self._clock.now_ms()
        with self._database.read() as connection:
            found = silences.listed(connection)
        return [item for item in found if kind in (None, item.kind) and state in (None, item.state(now_ms))]

    def one(self, identity: str) -> Silence:
        """One of them; raises NotFoundError."""
        with self._database.read() as connection:
            found = silences.find(connection, identity)
        return _known(found, identity)

    def changes(self, identity: str) -> list[silences.Change]:
        """What was done with one, newest first; raises NotFoundError."""
        with self._database.read() as connection:
            found = silences.changes(connection, identity)
        if not found:
            raise _unknown(identity)
        return found

    def create(self, change: SilenceChange) -> Silence:
        """Make a new one; raises ParameterError for what cannot be."""
        now_ms = self._clock.now_ms()
        silence = _silence(str(uuid.uuid4()), change, now_ms)
        with self._database.write() as connection:
            silences.save(connection, silence, "created", change.createdBy, now_ms)
        return silence

    def replace(self, identity: str, change: SilenceChange) -> Silence:
        """Change one. As in Alertmanager one that is over, or whose matchers change, ends, and a new one is made."""
        now_ms = self._clock.now_ms()
        with self._database.write() as connection:
            before = _known(silences.find(connection, identity), identity)
            silence = _silence(identity, change, now_ms, begun=before)
            same = (before.matchers, before.alert, before.kind) == (silence.matchers, silence.alert, silence.kind)
            if same and before.state(now_ms) != "expired":
                silences.save(connection, silence, "changed", change.createdBy, now_ms)
                return silence
            if before.state(now_ms) != "expired":
                silences.save(connection, _ended(before, now_ms), "expired", change.createdBy, now_ms)
            silence = _silence(str(uuid.uuid4()), change, now_ms)
            silences.save(connection, silence, "created", change.createdBy, now_ms)
            return silence

    def expire(self, identity: str, author: str) -> Silence:
        """End one now; one that is over stays as it is. Raises NotFoundError."""
        now_ms = self._clock.now_ms()
        with self._database.write() as connection:
            before = _known(silences.find(connection, identity), identity)
            if before.state(now_ms) == "expired":
                return before
            silence = _ended(before, now_ms)
            silences.save(connection, silence, "expired", author, now_ms)
        return silence

    def adopt(self, held: Mapping[str, bytes]) -> None:
        """Take over silences of a database that was lost: those on the topic that were never here."""
        with self._database.write() as connection:
            silences.adopt(connection, held, self._clock.now_ms())


def _silence(identity: str, change: SilenceChange, now_ms: int, begun: Silence | None = None) -> Silence:
    starts_ms = parse_time("startsAt", change.startsAt) if change.startsAt else now_ms
    if begun is not None and begun.state(now_ms) == "active":
        starts_ms = milliseconds(begun.starts_at)
    elif starts_ms < now_ms:
        starts_ms = now_ms  # the past cannot be silenced
    ends_ms = _end(change, max(starts_ms, now_ms))
    if ends_ms <= max(starts_ms, now_ms):
        raise ParameterError("endsAt", "must be after the start, and in the future")
    if ends_ms - starts_ms > LONGEST_MS:
        raise ParameterError("endsAt", "at most a year after the start")
    alert = change.alert
    return Silence(
        id=identity,
        kind=change.kind,
        matchers=_matchers(change),
        starts_at=to_rfc3339(starts_ms),
        ends_at=to_rfc3339(ends_ms),
        created_by=change.createdBy,
        comment=change.comment,
        updated_at=to_rfc3339(now_ms),
        alert=AckedAlert(alert.fingerprint, alert.episode, alert.severity) if alert else None,
    )


def _end(change: SilenceChange, from_ms: int) -> int:
    if (change.endsAt is None) == (change.duration is None):
        raise ParameterError("endsAt", "say until when: endsAt, or duration as in 2h, one of them")
    if change.endsAt is not None:
        return parse_time("endsAt", change.endsAt)
    milliseconds_ = parse_duration(change.duration or "")
    if not milliseconds_:
        raise ParameterError("duration", f"{change.duration!r} is not a duration: write it as in 1h30m")
    return from_ms + milliseconds_


def _matchers(change: SilenceChange) -> list[LabelMatcher]:
    if (change.alert is not None) != (change.kind == "acknowledgement"):
        raise ParameterError("alert", "an acknowledgement names the alert, other kinds have matchers")
    if change.alert is not None:
        if change.matchers:
            raise ParameterError("matchers", "an acknowledgement is of one alert: leave the matchers out")
        return []
    found = [LabelMatcher(item.name, item.value, item.isRegex, item.isEqual) for item in change.matchers]
    try:
        matchers = matchers_of(found)
    except RuleError as error:
        raise ParameterError("matchers", str(error)) from error
    if all(matcher.matches("") for matcher in matchers):
        raise ParameterError("matchers", "at least one matcher must not match the empty text: else all is silenced")
    return found


def _ended(silence: Silence, now_ms: int) -> Silence:
    now = to_rfc3339(now_ms)
    starts_at = silence.starts_at if milliseconds(silence.starts_at) < now_ms else now
    return msgspec.structs.replace(silence, starts_at=starts_at, ends_at=now, updated_at=now)


def _known(silence: Silence | None, identity: str) -> Silence:
    if silence is None:
        raise _unknown(identity)
    return silence


def _unknown(identity: str) -> NotFoundError:
    return NotFoundError(f"there is no silence {identity[:100]!r}; GET /api/fleet/v1/silences lists them")
