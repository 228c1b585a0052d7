"""What is no PromQL is told with the place."""

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.promql.parse import parse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("up > > 1", "unexpected '>' at column 6"),
        ("up by (x)", "unexpected 'by' at column 4"),
        ("foo bar", "unexpected 'bar' at column 5"),
        ("1 +* 2", "unexpected '*' at column 4"),
        ("a and on b", "unexpected 'b' at column 10"),
        ("avg by instance (up)", "unexpected 'instance' at column 8"),
        ("histogram_quantile(0.9 rate(x[5m]))", "unexpected 'rate' at column 24"),
        ("100 * (1 - avg(x) by (instance)) > > 2", "unexpected '>' at column 36"),
        ("up +", "something is missing at its end"),
        ("up == bool ", "something is missing at its end"),
    ],
)
def test_the_place_is_named(text: str, said: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert caught.value.reason == "syntax"
    assert said in str(caught.value), str(caught.value)


def test_of_a_long_one_it_is_not_looked_for() -> None:
    text = " + ".join(f'rate(metric_{number}{{job="x"}}[5m])' for number in range(30)) + " + + > 1"
    with pytest.raises(RuleError, match="invalid promql query"):
        parse(text)
