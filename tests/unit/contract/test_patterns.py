"""Expressions of users, wherever they come in: RE2's syntax, linear in the text, wrong ones explained."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.alertmanager import Wanted, matchers_of, wanted
from api.alertmanager_models import AlertmanagerAlert, AlertmanagerAlertStatus, AlertmanagerReceiver
from api.errors import ParameterError
from fleetpulse import patterns
from fleetpulse.errors import RuleError
from fleetpulse.notify.load import load_text
from fleetpulse.notify.matchers import matches
from fleetpulse.notify.route import routes_of
from fleetpulse.promql.parse import parse
from fleetpulse.promql.relabel import relabelled
from fleetpulse.promql.syntax import Call, Instant
from fleetpulse.rules.templates import Template
from fleetpulse.silences import LabelMatcher
from fleetpulse.silences import matchers_of as of_silence

SLOW = "(x+x+)+y"  # Python's engine takes longer than anyone lives
TEXT = "x" * 5000

pytestmark = pytest.mark.timeout(60)


def test_a_promql_matcher_ends_at_once() -> None:
    expr = parse(f'up{{a=~"{SLOW}"}}')
    assert isinstance(expr, Instant)
    assert [m.matches(TEXT) for m in expr.selector.matchers if m.name == "a"] == [False]


def test_label_replace_ends_at_once() -> None:
    call = parse(f'label_replace(up, "a", "$1", "b", "{SLOW}")')
    assert isinstance(call, Call)
    assert relabelled(call, ((("b", TEXT),), (("b", "xxxy"),))) == ((("b", TEXT),), (("a", "xxx"), ("b", "xxxy")))


def test_a_silences_matcher_ends_at_once() -> None:
    matchers = of_silence([LabelMatcher("instance", SLOW, is_regex=True)])
    assert not matches(matchers, {"instance": TEXT})
    assert matches(matchers, {"instance": TEXT + "y"})


def test_a_route_ends_at_once() -> None:
    config = load_text(
        "notify.yaml",
        "route:\n  receiver: a\n  routes:\n  - receiver: b\n"
        f"    matchers: ['instance=~\"{SLOW}\"']\nreceivers: [{{name: a}}, {{name: b}}]\n",
        Path("."),
    )
    assert [route.receiver for route in routes_of(config.route, {"instance": TEXT})] == ["a"]
    assert [route.receiver for route in routes_of(config.route, {"instance": TEXT + "y"})] == ["b"]


def alert(receiver: str, instance: str) -> AlertmanagerAlert:
    return AlertmanagerAlert(
        annotations={},
        endsAt="2026-01-01T00:00:00Z",
        fingerprint="0" * 16,
        receivers=[AlertmanagerReceiver(name=receiver)],
        startsAt="2026-01-01T00:00:00Z",
        status=AlertmanagerAlertStatus(state="active", silencedBy=[], inhibitedBy=[]),
        updatedAt="2026-01-01T00:00:00Z",
        generatorURL="",
        labels={"instance": instance},
    )


def test_the_filters_of_the_api_end_at_once() -> None:
    by_receiver = wanted(True, True, True, [], SLOW)
    assert [by_receiver.takes(alert(name, "")) for name in (TEXT, "xxxy")] == [False, True]
    by_label: Wanted = wanted(True, True, True, [f"instance=~{SLOW}"], None)
    assert [by_label.takes(alert("a", name)) for name in (TEXT, "xxxy")] == [False, True]
    assert matchers_of(["a=x" + " " * 100_000 + "x"])[0].value.count(" ") == 100_000  # reading them, too


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?=a)b", "look-ahead (?= is not in RE2's syntax, which Prometheus and Alertmanager read"),
        ("(?!a)b", "look-ahead (?! is not"),
        ("(?<=a)b", "look-behind (?<= is not"),
        ("(?<!a)b", "look-behind (?<! is not"),
        (r"(a)\1", r"a back-reference \1 is not"),
        ("(?P<n>a)(?P=n)", "a back-reference by name"),
        ("(?>a)", "an atomic group (?> is not"),
        ("a*+", "a possessive quantifier *+ is not"),
        (r"a\Z", r"write \z or nothing"),
        (r"\C", r"\C, which splits characters"),
        (r"a\\\C", r"\C, which splits characters"),
        ("(", "missing ): ("),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("\ud800", "half of a surrogate pair"),
        ("x" * 2_000_000, "pattern too large"),
    ],
)
def test_what_re2_does_not_take_is_named(pattern: str, said: str) -> None:
    with pytest.raises(RuleError) as caught:
        patterns.check(pattern, "matcher team=~")
    assert caught.value.reason == "regex"
    assert str(caught.value).startswith("matcher team=~: regular expression '")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_an_error_names_the_matcher_in_each_place() -> None:
    with pytest.raises(RuleError, match="matcher team=~: regular expression"):
        of_silence([LabelMatcher("team", "(?=a)", is_regex=True)])
    with pytest.raises(ParameterError, match=r"matcher team!~: regular expression.*look-ahead"):
        matchers_of(["team!~(?=a)"])
    with pytest.raises(ParameterError, match=r"receiver: regular expression.*a back-reference"):
        wanted(True, True, True, [], r"(a)\1")
    with pytest.raises(RuleError, match=r"label_replace\(\): regular expression.*look-ahead"):
        parse('label_replace(up, "a", "$1", "b", "(?=a)")')


def test_the_whole_value_matches_with_newlines_and_ascii_classes() -> None:
    assert patterns.fits("a.c", "a\nc")
    assert not patterns.fits("a", "ab")
    assert not patterns.fits("b", "ab")
    assert not patterns.fits("a|b", "ab")
    assert not patterns.fits(r"\w", "é")
    assert patterns.fits(r"(?i)É|\pL+|[[:alpha:]]", "é")
    assert patterns.fits("é{2}", "éé")
    assert not patterns.fits(".", "\ud800x")  # half a pair in a label ends nothing
    assert patterns.fits("|".join(f"host-{number}" for number in range(10_000)), "host-9999")


def test_groups_by_number_and_name() -> None:
    assert patterns.groups("(?P<first>é+)(x)?", "éé") == {"0": "éé", "1": "éé", "2": "", "first": "éé"}
    assert patterns.groups("(a)", "b") is None


def test_nothing_is_printed_about_a_bad_expression() -> None:
    code = (
        "from fleetpulse import patterns\n"
        "for text in ('(', 'x' * 2_000_000):\n"
        "    try: patterns.check(text, 'a')\n"
        "    except Exception: pass\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == result.stderr == ""


def test_a_template_without_an_end_is_found_at_once() -> None:
    for text in ("{{ " * 200_000, '{{ "' + "{{ " * 200_000, "{{ `" + "a" * 200_000, '{{ "a {{ $value }}'):
        with pytest.raises(RuleError, match="without '}}'") as caught:
            Template(text)
        assert len(str(caught.value)) < 500
