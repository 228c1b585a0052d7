"""What the parser takes, and what it refuses by name."""

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.promql.parse import parse, selectors
from fleetpulse.promql.syntax import (
    Aggregate,
    Binary,
    Instant,
    Matcher,
    Matching,
    Negate,
    Number,
    OverRange,
    Selector,
    is_scalar,
    reach_ms,
    selections,
)

X = Instant(Selector((Matcher("__name__", "=", "x"),)))
Y = Instant(Selector((Matcher("__name__", "=", "y"),)))


@pytest.mark.parametrize(
    ("text", "expr"),
    [
        ("x", X),
        ('{__name__="x"}', X),
        ("(x)", X),
        ("-x", Negate(X)),
        ("x > bool 1", Binary(">", X, Number(1), returns_bool=True)),
        ("x - y - x", Binary("-", Binary("-", X, Y), X)),
        ("x ^ y ^ x", Binary("^", X, Binary("^", Y, X))),
        ("-x ^ 2", Negate(Binary("^", X, Number(2)))),
        ("x / on (instance, a) y", Binary("/", X, Y, matching=Matching(True, ("instance", "a")))),
        ("x / ignoring (a) y", Binary("/", X, Y, matching=Matching(False, ("a",)))),
        ("sum without (a) (x)", Aggregate("sum", X, False, ("a",))),
        ("sum (x) by (instance)", Aggregate("sum", X, True, ("instance",))),
        ("rate(x[1m30s])", OverRange("rate", X.selector, 90_000)),
        ('x{a!~"b.*"}', Instant(Selector((Matcher("__name__", "=", "x"), Matcher("a", "!~", "b.*"))))),
        ("x * 0x10", Binary("*", X, Number(16))),
    ],
)
def test_expressions(text: str, expr: object) -> None:
    assert parse(text) == expr


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("x +", "syntax", "is missing at its end"),
        ("", "syntax", "no expression"),
        ("x[5m]", "syntax", "needs a function"),
        ('"text"', "syntax", "not a vector"),
        ("rate(x)", "syntax", "expected type matrix"),
        ("rate(x[0s])", "syntax", "greater than 0"),
        ("rte(x[5m])", "syntax", "did you mean rate"),
        ("frobnicate(x)", "syntax", "use one of abs, absent"),
        ('x{a=~"("}', "syntax", "regex"),
        ('x{a=~"(a{1000}){2}"}', "regex", r"a=~ in x\{.*invalid repetition size"),
        ('max_over_time(x{a=~"(a{1000}){2}"}[1h:1m])', "regex", "invalid repetition size"),
        ('x{a=~"(a{1000}){2}"} @ end()', "regex", "invalid repetition size"),
        ('label_replace(x, "a", "$1", "b", "(.)\\\\1")', "regex", r"label_replace\(\).*a back-reference \\1 is not"),
        ("rate(x[5m] anchored)", "syntax", "the modifier 'anchored' is not supported; leave it out"),
        ("x{a='b'} smoothed > 5", "syntax", "the modifier 'smoothed'"),
        ("rate(x[5m+step()])", "syntax", r"write the duration out, as in \[5m\]"),
        ("holt_winters(x[5m], 0.1, 0.2)", "syntax", "called double_exponential_smoothing"),
        ("double_exponential_smoothing(x[5m], 0.1, 1)", "syntax", "the trend factor"),
        ("info(x)", "unsupported", r"function info\(\)"),
        ("limitk(1, x)", "unsupported", r"aggregation limitk\(\)"),
        ("x offset -5m", "look_back", "negative offset in x"),
        ("rate(x[5h] offset 61m)", "look_back", "further back than 6 hours"),
        ("x @ end()", "at_modifier", "@ modifier"),
        ("rate(x[5m:1m])", "subquery", "subquery"),
        ("quantile_over_time(0.5, x[5m:1m])", "subquery", "subquery"),
        ('x{a="1" or b="2"}', "unsupported", "'or' between matchers"),
        ("sum(x)", "crosses_hosts", "without 'by'"),
        ("sum by (job) (x)", "crosses_hosts", r"by \(job\) loses the host"),
        ("sum without (instance) (x)", "crosses_hosts", "take instance out"),
        ("x / on (job) y", "crosses_hosts", r"on \(job\) loses the host"),
        ("x / ignoring (instance) y", "crosses_hosts", "take instance out"),
        ("x / on () y", "crosses_hosts", "on \\(\\) loses the host"),
        ("x and on (job) y", "crosses_hosts", r"on \(job\) loses the host"),
        ("x or vector(0)", "crosses_hosts", "a vector of no host"),
        ("vector(1) unless on () x", "crosses_hosts", "a vector of no host"),
        ("absent(x)", "crosses_hosts", "up unless on"),
        ('absent(x{instance=~"a|b"})', "crosses_hosts", "all hosts together"),
        ('x{instance="a"} + on () x{instance="b"}', "crosses_hosts", "hosts a and b"),
        ('x{instance="a"} * scalar(x{instance="b"})', "crosses_hosts", "another host's"),
        ("scalar(x)", "crosses_hosts", "all hosts together"),
        ('sum by (instance) (label_replace(x, "instance", "a", "", ""))', "crosses_hosts", "has set"),
        ('label_replace(x, "host", "a", "", "")', "crosses_hosts", "sets the label host"),
        ('label_replace(x, "1a", "a", "", "")', "syntax", "'1a' is not a label name"),
        ('label_replace(x, "a", "a", "b", "(")', "regex", "regular expression"),
    ],
)
def test_refusals_name_the_construct(text: str, reason: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as caught:
        parse(text)
    assert caught.value.reason == reason


def test_the_selectors_of_what_does_not_run_on_the_stream_are_known() -> None:
    text = (
        'max_over_time((-a{x=~"y"})[1h:1m]) + sum(b @ 5) and topk(scalar(c), rate(d[1d])) > count_values("v", e or a)'
    )
    assert [str(selector.name) for selector in selectors(text)] == ["a", "b", "c", "d", "e", "a"]


def test_what_an_expression_reads() -> None:
    expr = parse("rate(x[15m]) / on (instance) (y + 2) > x")
    assert selections(expr) == (OverRange("rate", X.selector, 900_000), Y, X)
    assert reach_ms(expr, 300_000) == 900_000
    assert reach_ms(parse("rate(x[1m]) + y"), 300_000) == 300_000
    assert not is_scalar(expr)
    assert is_scalar(Negate(Binary("+", Number(1), Number(2))))


@pytest.mark.parametrize(
    ("op", "value", "label", "passes"),
    [
        ("=", "a", "a", True),
        ("=", "", "", True),
        ("!=", "a", "", True),
        ("=~", "a|b", "b", True),
        ("=~", "a|b", "bb", False),
        ("=~", "a.b", "a\nb", True),
        ("=~", "(?i)ab", "AB", True),
        ("=~", "", "", True),
        ("!~", "a.*", "abc", False),
        ("=~", r"\d", "\u0663", False),
    ],
)
def test_matchers(op: str, value: str, label: str, passes: bool) -> None:
    assert Matcher("l", op, value).matches(label) is passes
