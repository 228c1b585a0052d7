"""What the oracle says about one fault."""

from dataclasses import dataclass, field

EXAMPLES = 5


class NeedsError(Exception):
    """This machine cannot inject the fault; the text says why."""


@dataclass
class Verdict:
    """Counts of samples, and of rollup rows; `notes` holds a few examples of each kind of fault found."""

    sent: int = 0
    stored: int = 0
    duplicates: int = 0  # rows that were stored again, and are visible once
    missing: int = 0
    twice: int = 0
    wrong: int = 0
    rollups: int = 0  # rollup rows that are not what the raw samples say
    unexplained: int = 0  # by the audit
    dropped: int = 0  # given up by the producer, which said so
    recovery_seconds: float = 0.0
    evidence: str = ""  # that the fault happened
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing missing, nothing twice, nothing wrong, nothing unexplained."""
        return not (self.missing or self.twice or self.wrong or self.rollups or self.unexplained or self.notes)

    def note(self, kind: str, examples: list[str]) -> None:
        """Keep the first examples."""
        self.notes += [f"{kind}: {example}" for example in examples[:EXAMPLES]]

    def merge(self, other: "Verdict") -> None:
        """The worse of two looks at the same data."""
        for name in ("missing", "twice", "wrong", "rollups", "unexplained"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.stored, self.duplicates = other.stored, max(self.duplicates, other.duplicates)
        self.notes += [note for note in other.notes if note not in self.notes]

    def __str__(self) -> str:
        return (
            f"sent {self.sent:,}, stored {self.stored:,}, duplicates {self.duplicates:,}, missing {self.missing:,}, "
            f"twice {self.twice:,}, wrong {self.wrong:,}, rollups unequal {self.rollups:,}, "
            f"unexplained {self.unexplained:,}, recovered in {self.recovery_seconds:.1f} s"
        )
