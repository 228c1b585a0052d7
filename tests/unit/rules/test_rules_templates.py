"""Templates render as Prometheus does; the expected texts were printed by promtool 2.42."""

import math

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.rules.templates import Template

EVERYTHING = (
    "{{ $value }} {{ $value | humanize }} {{ $value | humanize1024 }} {{ $value | humanizeDuration }} "
    "{{ $value | humanizePercentage }} "
    '{{ printf "%.2f|%v|%g|%e|%5.1f|%s|%q" $value $value $value $value $value $labels.job $labels.job }} '
    '{{ $labels.nosuch }} {{ $labels.job | toUpper | title }}{{ "a\\"b" }} {{- " x" -}}  y'
)
TAIL = '|a|"a"  Aa"b xy'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e6, "1e+06 1M 976.6ki 11d 13h 46m 40s 1e+08% 1000000.00|1e+06|1e+06|1.000000e+06|1000000.0"),
        (0.0, "0 0 0 0s 0% 0.00|0|0|0.000000e+00|  0.0"),
        (
            999999.96,
            "999999.96 1000k 976.6ki 11d 13h 46m 39s 1e+08% 999999.96|999999.96|999999.96|1.000000e+06|1000000.0",
        ),
        (
            0.00001234,
            "1.234e-05 12.34u 1.234e-05 12.34us 0.001234% 0.00|1.234e-05|1.234e-05|1.234000e-05|  0.0",
        ),
        (
            123456789.125,
            "1.23456789125e+08 123.5M 117.7Mi 1428d 21h 33m 9s 1.235e+10% "
            "123456789.12|1.23456789125e+08|1.23456789125e+08|1.234568e+08|123456789.1",
        ),
        (math.nan, "NaN NaN NaN NaN NaN% NaN|NaN|NaN|NaN|  NaN"),
        (math.inf, "+Inf +Inf +Inf +Inf +Inf% +Inf|+Inf|+Inf|+Inf| +Inf"),
        (-0.5, "-0.5 -500m -0.5 -500ms -50% -0.50|-0.5|-0.5|-5.000000e-01| -0.5"),
        (90061.5, "90061.5 90.06k 87.95ki 1d 1h 1m 1s 9.006e+06% 90061.50|90061.5|90061.5|9.006150e+04|90061.5"),
    ],
)
def test_numbers_as_prometheus_prints_them(value: float, text: str) -> None:
    assert Template(EVERYTHING).render({"job": "a"}, value) == text + TAIL


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{$labels.instance}}: {{.Value}}", "h:9100: 3"),
        ("{{ .Labels.instance | stripPort }}", "h"),
        ("{{ `raw {{ text` }}", "raw {{ text"),
        ("a {{/* a comment */}} b", "a  b"),
        ("{{ $value | printf `%d %s` }}", "%!d(3) %!s(MISSING)"),
        ("{{ humanize ($value) }} {{ 2048 | humanize1024 }} {{ printf `%05.1f%%` $value }}", "3 2ki 003.0%"),
        ("{{ $labels.instance | humanize }}", "NaN"),
    ],
)
def test_texts(template: str, text: str) -> None:
    assert Template(template).render({"instance": "h:9100"}, 3.0) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ $value | humanise }}", "unknown function or variable 'humanise'; did you mean humanize"),
        ("{{ if $value }}x{{ end }}", "'if'"),
        ("{{ query `up` }}", "'query'; use one of"),
        ("{{ $externalLabels.x }}", r"\$externalLabels"),
        ("{{ $labels.x", "without"),
        ("{{ }}", "a value is missing"),
        ("{{ $value $value }}", "unexpected"),
        ("{{ $value | `x` }}", "not a function"),
        ("{{ ($value }}", "missing"),
        ("{{ printf }}", "takes a format"),
        ("{{ humanize $value $value }}", "takes one value"),
        ("{{ % }}", "unexpected '%'"),
        ("{{ $value | }}", "a value is missing"),
        ("{{ | }}", "unexpected"),
    ],
)
def test_what_is_not_supported_is_an_error_when_loaded(template: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as caught:
        Template(template)
    assert caught.value.reason == "template"
