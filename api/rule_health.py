"""How the rules in force fare, as far as ClickHouse answers soon; asked every few seconds at most."""

import logging
import threading

from fleetpulse.clock import Clock
from fleetpulse.errors import FleetpulseError
from fleetpulse.logs import log_fields
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.rule_health import RuleHealth, rule_health

KEPT_SECONDS = 5.0  # workers publish their metrics every ten
UNKNOWN = RuleHealth(None, {}, frozenset())

log = logging.getLogger(__name__)


class RuleWatch:
    """Shared by the API's threads."""

    def __init__(self, pool: ClientPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = -KEPT_SECONDS
        self._health = UNKNOWN

    def now(self) -> RuleHealth:
        """`UNKNOWN` when ClickHouse does not say."""
        with self._lock:
            if self._clock.monotonic() - self._asked >= KEPT_SECONDS:
                try:
                    self._health = rule_health(self._pool, self._clock.now_ms())
                except FleetpulseError as error:
                    log.debug("it is not known how the rules fare", extra=log_fields(cause=str(error)))
                    self._health = UNKNOWN
                self._asked = self._clock.monotonic()
            return self._health
