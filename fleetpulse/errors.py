"""The errors, grouped by what the caller does next.

FleetpulseError
├── RetryableError      try again with back-off; the input is kept
│   └── UnavailableError    a server cannot be reached or does not answer
├── RejectedError       this input will never be accepted; say why, count it, go on
│   ├── MetricError         a metric or label name that breaks the rules
│   ├── FrameError          a message that is not a frame this version reads
│   └── RuleError           a rule file or expression that cannot be used
└── FatalError          this process cannot go on; exit with the sentence
    └── SettingsError       a setting that is missing or wrong

Every message names the thing, the place and the remedy.
"""


class FleetpulseError(Exception):
    """Root of the project's errors. The text is a sentence for a person."""


class RetryableError(FleetpulseError):
    """The same call may succeed later."""


class UnavailableError(RetryableError):
    """A server that this process needs cannot be reached."""


class RejectedError(FleetpulseError):
    """The input is refused for good; `reason` is a short stable word for metrics and dead letters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class MetricError(RejectedError):
    """A metric name, label name or label set that breaks the metric model."""


class FrameError(RejectedError):
    """Bytes from `fleetpulse.metrics` that are not a readable frame."""


class RuleError(RejectedError):
    """A rule that cannot be used; the text carries file and line, and these are there apart where they are known."""

    def __init__(self, reason: str, detail: str, *, file: str = "", line: int = 0, field: str = "") -> None:
        super().__init__(reason, f"{file}:{line}: {detail}" if file else detail)
        self.detail = detail
        self.file, self.line, self.field = file, line, field


class FatalError(FleetpulseError):
    """The process cannot go on."""


class SettingsError(FatalError):
    """A setting that is missing, misspelled or of the wrong type."""
