"""Goals: what a benchmark has to reach, and whether it did."""

import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

_COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` is None when the run could not measure it, which never counts as met."""

    name: str
    comparison: str  # >=, <= or ==
    target: float
    measured: float | None
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the measurement reaches the target; NaN never does."""
        return self.measured is not None and _COMPARE[self.comparison](self.measured, self.target)

    def as_json(self) -> dict[str, Any]:
        """As the report's file holds it."""
        return asdict(self) | {"met": self.met}


def ratio(ours: float, theirs: float | None) -> float | None:
    """Ours over a peer's; None without a peer."""
    return ours / theirs if theirs else None
