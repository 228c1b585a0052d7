"""One scrape: every collector called, timed and kept from stopping the rest."""

import functools
import logging
from collections.abc import Mapping

from fleetpulse.logs import log_fields
from producers.agent.collectors import Collector
from producers.agent.patience import Outcome, Patience
from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

log = logging.getLogger(__name__)


class Scrape:
    """Calls the collectors; a failing one is logged when it starts to fail and when it works again."""

    def __init__(self, collectors: Mapping[str, Collector], roots: Roots, timeout_seconds: float) -> None:
        self._calls = {name: functools.partial(collector, roots) for name, collector in collectors.items()}
        self._patience = Patience[Samples]("collectors", timeout_seconds)
        self._failing: set[str] = set()

    def __call__(self) -> Samples:
        """`up`, the samples of every collector that worked, and success and duration of each."""
        samples: Samples = [(series("up"), 1.0)]
        for name, outcome in self._patience.run(self._calls).items():
            self._report(name, outcome)
            samples += outcome.value or []
            success = float(outcome.value is not None)
            samples.append((series("node_scrape_collector_success", collector=name), success))
            samples.append((series("node_scrape_collector_duration_seconds", collector=name), outcome.seconds))
        return samples

    def close(self) -> None:
        """Let the collectors' thread end."""
        self._patience.close()

    def _report(self, name: str, outcome: Outcome[Samples]) -> None:
        if outcome.error is None:
            if name in self._failing:
                self._failing.remove(name)
                log.info("collector works again", extra=log_fields(collector=name))
        elif name not in self._failing:
            self._failing.add(name)
            level = logging.DEBUG if isinstance(outcome.error, NoDataError) else logging.WARNING
            cause = f"{type(outcome.error).__name__}: {outcome.error}"
            log.log(level, "collector fails", extra=log_fields(collector=name, cause=cause))
