"""What the commands on rule files read, and what they say when nobody answers."""

from pathlib import Path

import pytest

from fleetpulse.cli import main
from fleetpulse.errors import RuleError
from fleetpulse.rule_files.files import named, read_files
from infra.embedded.ports import free_port


def test_a_folder_is_its_rule_files_without_its_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    for name, text in (("b.yaml", "groups:\n"), ("deep/a.yml", "groups: []\n"), ("t.yaml", "rule_files: [b.yaml]\n")):
        (tmp_path / "rules" / name).write_text(text)
    (tmp_path / "rules" / "README.md").write_text("text")
    monkeypatch.chdir(tmp_path)
    found = read_files([Path("./rules/"), Path("rules/b.yaml")])
    assert found == [
        {"path": "rules/b.yaml", "text": "groups:\n"},
        {"path": "rules/deep/a.yml", "text": "groups: []\n"},
    ]
    assert named(Path("./rules/../rules/b.yaml")) == "rules/b.yaml"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"there is no rule file .* below"):
        read_files([tmp_path])
    with pytest.raises(RuleError, match=r"absent.yaml cannot be read: no such file"):
        read_files([tmp_path / "absent.yaml"])
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    with pytest.raises(RuleError, match="not UTF-8"):
        read_files([tmp_path / "binary.yaml"])


@pytest.mark.parametrize("command", [["list"], ["export"], ["diff", "FILE"], ["apply", "FILE"]], ids=lambda c: c[0])
def test_an_api_that_is_away_is_named(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.yaml").write_text("groups: []\n")
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("FLEETPULSE_API_URL", f"{url}/")
    assert main(["rules", *(str(tmp_path / "f.yaml") if word == "FILE" else word for word in command)]) == 2
    said = capsys.readouterr().err
    assert url in said
    assert "FLEETPULSE_API_URL" in said
    assert "fleetpulse up" in said


def test_an_unknown_sub_command_lists_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "aply"])
    assert "apply" in capsys.readouterr().err
