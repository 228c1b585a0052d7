"""The stream evaluator: wire blocks of one partition in, evaluations of rules out.

Pure: no clock, no server. It keeps windows of the series that a rule selects (ring buffers, as long as the
longest range that reads them) and evaluates a rule for all hosts of a batch that share a series layout at once.
"""

from collections.abc import Mapping, Sequence

from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.wire import Block

DEFAULT_LOOKBACK_MS = 300_000


class StreamEvaluator:
    """The rules' windows and last ticks of ONE partition.

    `complete_from_ms`: append time from which this evaluator sees every block of the partition. Pass 0 when
    reading started at the partition's first offset ever; the append time at which warm-up starts to read
    otherwise; None: the time of the first `observe`. A rule with reach r (its longest range, or the lookback)
    is not warm before ``complete_from_ms + r``.
    """

    late_samples: int = 0  # samples that a rule selects, none of whose rules had an older tick than theirs
    matched_samples: int = 0  # samples that a rule selects

    def __init__(
        self, rules: RuleSet, lookback_ms: int = DEFAULT_LOOKBACK_MS, complete_from_ms: int | None = None
    ) -> None:
        """Compile the rules; raises RuleError for one that cannot run on the stream."""
        raise NotImplementedError

    def observe(self, blocks: Sequence[Block], evaluate: bool = True, now_ms: int | None = None) -> list[Evaluation]:
        """Add the samples of `blocks` to the windows and evaluate the rules that select any of them.

        A (rule, host) is evaluated once for each distinct timestamp ("tick") that is newer than its last, in
        order; blocks of one host count in the order given, and neighbours with one timestamp are one tick. A
        sample that is not newer only updates windows. `evaluate=False` (warm-up) only fills and moves no tick.
        `now_ms` is the append time of the newest message (None: the newest sample time so far); it decides
        only whether windows are warm. The evaluations of one call are in tick order for each host.
        Raises FrameError for a block whose columns do not agree; blocks before it have been added.
        """
        raise NotImplementedError

    def labels_of(self, key: int) -> Mapping[str, str]:
        """The label set of a key, without ``__name__``; cached, not to be changed."""
        raise NotImplementedError

    def last_tick(self, rule: Rule, host: str) -> int | None:
        """The newest tick at which `rule` was evaluated for `host`, or None."""
        raise NotImplementedError

    def set_last_tick(self, rule: Rule, host: str, at_ms: int) -> None:
        """Restore a tick: samples up to and including `at_ms` will not evaluate `rule` for `host`."""
        raise NotImplementedError

    def forget(self, host: str) -> None:
        """Drop the windows, ticks and keys of a host."""
        raise NotImplementedError
