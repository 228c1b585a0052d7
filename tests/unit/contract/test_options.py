"""An option is written whole: `--sinc` is an error, so that a misspelled or cut one never means another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse import cli

ROOT = Path(__file__).parents[3]
FOLDERS = ("api", "bench", "fleetpulse", "infra", "producers", "stream_processors", "tests")


def parsers() -> Iterator[tuple[str, ast.Call]]:
    """Every call that makes a parser or a sub-command's, and where it is."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            strict = (
                "import Parser" in text and "ArgumentParser(" not in text
            )  # sub-commands are of their parent's class
            if not strict and ("ArgumentParser(" in text or ".add_parser(" in text):
                for node in ast.walk(ast.parse(text)):
                    called = node.func if isinstance(node, ast.Call) else None
                    if isinstance(called, ast.Attribute) and called.attr in ("ArgumentParser", "add_parser"):
                        assert isinstance(node, ast.Call)
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_parser_takes_an_abbreviation() -> None:
    found = list(parsers())
    assert len(found) > 20
    lenient = [
        place
        for place, call in found
        if not any(word.arg == "allow_abbrev" and ast.unparse(word.value) == "False" for word in call.keywords)
    ]
    assert not lenient, f"say allow_abbrev=False: {lenient}"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_cut_option_is_an_error_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--hel"])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
