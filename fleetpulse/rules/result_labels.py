"""Which labels the result of an expression can have, as far as the expression alone tells."""

from dataclasses import dataclass

from fleetpulse.promql.syntax import Aggregate, Anchored, Binary, Expr, Negate, is_scalar

_PICKS = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})  # aggregations that hand on series as they are


@dataclass(frozen=True, slots=True)
class ResultLabels:
    """`only`: no others can be there (None: any can); `never`: these surely are not."""

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    def lacks(self, label: str) -> bool:
        """Whether no result can have the label."""
        return label in self.never or (self.only is not None and label not in self.only)

    def without(self, labels: frozenset[str]) -> "ResultLabels":
        """The same without some labels."""
        return ResultLabels(None if self.only is None else self.only - labels, self.never | labels)


_ANY = ResultLabels()


def result_labels(expr: Expr) -> ResultLabels:
    """The labels; `_ANY` wherever the series decide."""
    match expr:
        case Negate() | Anchored():
            return result_labels(expr.operand)
        case Aggregate() if expr.op in _PICKS:
            return result_labels(expr.operand)
        case Aggregate() if expr.op != "count_values":
            labels = frozenset(expr.labels)
            return ResultLabels(labels) if expr.by else result_labels(expr.operand).without(labels)
        case Binary():
            return _of_binary(expr)
        case _:
            return _ANY


def _of_binary(expr: Binary) -> ResultLabels:
    if is_scalar(expr.right) or expr.op in ("and", "unless"):
        return result_labels(expr.left)
    if is_scalar(expr.left):
        return result_labels(expr.right)
    if expr.op == "or" or expr.matching.many:
        return _ANY
    labels = frozenset(expr.matching.labels)
    return ResultLabels(labels) if expr.matching.on else result_labels(expr.left).without(labels)
