"""Rule files cut into groups: nothing is lost, and comments stay where they can."""

from pathlib import Path

import pytest

from fleetpulse.rules.load import read_text, shipped_packs
from fleetpulse.rules.split import split

COMMENTED = """# about the file
groups:
# about the first
- name: first
  rules:
  # about the rule
  - record: a:b
    expr: >-
      x
        + y   # text, not a comment
    labels: {team: "a # b"}

  - alert: A
    expr: |
      x > 1

    annotations:
      text: |2
          kept
# about the second
- name: second   # here
  rules: []
"""


def rules_of(text: str) -> list[tuple[object, ...]]:
    groups, errors = read_text("f", text)
    assert errors == []
    return [
        (group.name, group.interval_ms, rule.name, rule.expr, dict(rule.labels), dict(rule.annotations), rule.for_ms)
        for group in groups
        for rule in group.rules
    ]


def test_a_group_keeps_its_text_and_comments() -> None:
    first, second = split("f", COMMENTED).values()
    assert first.startswith("groups:\n  - name: first\n    rules:\n    # about the rule\n    - record: a:b\n")
    assert "text, not a comment" in first
    assert "about the second" not in first
    assert second == "groups:\n  - name: second   # here\n    rules: []\n"
    assert rules_of(first) == rules_of(COMMENTED)


@pytest.mark.parametrize("path", shipped_packs(), ids=lambda path: path.name)
def test_the_parts_of_a_file_are_the_file(path: Path) -> None:
    text = path.read_text()
    parts = split(str(path), text)
    assert len(parts) == text.count("- name: ")
    assert [rule for part in parts.values() for rule in rules_of(part)] == rules_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "groups: [{name: a, rules: [{record: r, expr: x}]}, {name: b, rules: [{record: s, expr: x}]}]",
        "groups:\n- name: a\n  labels: &team {team: x}\n  rules: [{record: r, expr: x}]\n"
        "- name: b\n  labels: *team\n  rules: [{record: s, expr: x}]\n",
        "groups:\n-\n  name: a\n  rules: [{record: r, expr: x}]\n",
        "groups:\n      - name: a\n        rules:\n        - {record: r, expr: x}\n",
        '{"groups": [{"name": "a", "rules": [{"record": "r", "expr": "x"}]}]}',
        "groups:\n- name: ä\n  rules:\n  - {record: r, expr: x}",
    ],
    ids=["flow", "anchor", "dash alone", "deep", "json", "no newline at the end"],
)
def test_odd_files_are_cut_too(text: str) -> None:
    parts = split("f", text)
    assert [rule for part in parts.values() for rule in rules_of(part)] == rules_of(text)
    assert all(split("f", part) == {name: part} for name, part in parts.items())  # and what is cut stays as it is


def test_a_file_without_groups_has_none() -> None:
    assert split("f", "") == {}
    assert split("f", "groups:\n") == {}
