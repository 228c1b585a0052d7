"""Matchers as text, old and new; what amtool reads, ours reads alike."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.notify.matchers import matches, parse_matchers, shown

GOOD = {
    "severity=critical": '{severity="critical"}',
    " a = b c ": '{a="b c"}',
    'a="b\\"c"': '{a="b\\"c"}',
    '{a=b,c!~"d,e"}': '{a="b",c!~"d,e"}',
    '{a="b,}"}': '{a="b,}"}',
    "a==b": '{a="=b"}',
    'a="x\\ny"': '{a="x\\ny"}',
    'a="b\\xc"': '{a="b\\\\xc"}',
    'a="b\\\\"': '{a="b\\\\"}',
    "a!=b,": '{a!="b"}',
    "a=~b|c": '{a=~"b|c"}',
    "a:b=c": '{a:b="c"}',
    "a=": '{a=""}',
}
BAD = ['a="b', 'a=b"', "a=~(", "a", '"a"=b', "1a=b"]


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_matchers_are_read(text: str, expected: str) -> None:
    assert shown(parse_matchers(text)) == expected
    assert parse_matchers(expected) == parse_matchers(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_matcher_is_named(text: str) -> None:
    with pytest.raises(RuleError, match=r"matcher|regular expression"):
        parse_matchers(text)


@pytest.mark.debian("prometheus-alertmanager")
def test_amtool_reads_the_same(tmp_path: Path) -> None:
    def amtool(texts: list[str]) -> str:
        routes = "".join(f"\n  - receiver: a\n    matchers: ['{text}']" for text in texts)
        file = tmp_path / "routes.yaml"
        file.write_text(f"route:\n  receiver: a\n  routes:{routes}\nreceivers: [{{name: a}}]\n")
        command = [shutil.which("amtool") or "amtool", "config", "routes", "show", f"--config.file={file}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    lines = [
        line.split("── ")[1].rsplit("  receiver", 1)[0] for line in amtool(list(GOOD)).splitlines() if "── " in line
    ]
    assert lines == ["default-route", *GOOD.values()]
    assert [text for text in BAD if "── {" in amtool([text])] == []


def test_an_absent_label_is_empty_and_patterns_are_anchored() -> None:
    labels = {"alertname": "HostCpuHigh", "env": "prod-1"}
    assert matches(parse_matchers('alertname="HostCpuHigh", team=""'), labels)
    assert matches(parse_matchers("env=~prod-[0-9]"), labels)
    assert not matches(parse_matchers("env=~prod"), labels)
    assert not matches(parse_matchers("team!="), labels)
