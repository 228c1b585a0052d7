"""Settings: defaults, types, secrets from files, what `up` wrote, and the table that shows them."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from fleetpulse import settings
from fleetpulse.errors import SettingsError
from fleetpulse.settings import AgentSettings, ClickHouseSettings, KafkaSettings, LogSettings, load
from fleetpulse.settings_table import main, table


def test_defaults_without_any_variable() -> None:
    assert load(KafkaSettings, {}) == KafkaSettings()
    assert load(KafkaSettings, {}).partitions == 12


def test_values_are_read_with_their_types() -> None:
    environ = {"FLEETPULSE_KAFKA_PARTITIONS": "4", "FLEETPULSE_AGENT_INTERVAL_SECONDS": "0.5"}
    assert load(KafkaSettings, environ).partitions == 4
    assert load(AgentSettings, environ).interval_seconds == 0.5


@pytest.mark.parametrize(
    ("group", "variable", "text", "message"),
    [
        (
            KafkaSettings,
            "FLEETPULSE_KAFKA_PARTITIONS",
            "many",
            "FLEETPULSE_KAFKA_PARTITIONS is 'many': .* a whole number",
        ),
        (KafkaSettings, "FLEETPULSE_KAFKA_PARTITIONS", "", "is '': it must be a whole number"),
        (AgentSettings, "FLEETPULSE_AGENT_INTERVAL_SECONDS", "1s", "is '1s': it must be a number"),
        (LogSettings, "FLEETPULSE_LOG_LEVEL", "LOUD", "is 'LOUD': use one of 'DEBUG', 'INFO'"),
        (KafkaSettings, "FLEETPULSE_KAFKA_SECURITY_PROTOCOL", "TLS", "use one of 'PLAINTEXT', 'SSL'"),
    ],
)
def test_a_wrong_type_is_an_error_that_names_the_variable(group: type, variable: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(group, {variable: text})


def test_a_secret_comes_from_a_file_and_the_variable_itself_wins(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from the file\n")
    environ = {"FLEETPULSE_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password")}
    assert load(KafkaSettings, environ).sasl_password == "from the file"
    environ["FLEETPULSE_KAFKA_SASL_PASSWORD"] = "from the variable"
    assert load(KafkaSettings, environ).sasl_password == "from the variable"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(
        SettingsError, match=r"FLEETPULSE_CLICKHOUSE_URL_FILE names a file that cannot be read: .*missing"
    ):
        load(ClickHouseSettings, {"FLEETPULSE_CLICKHOUSE_URL_FILE": missing})


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("x")
    environ = {"FLEETPULSE_KAFKA_SASL_USERNAME_FILE": str(tmp_path / "user")}
    assert load(KafkaSettings, environ).sasl_username == ""


def test_what_up_wrote_counts_until_a_variable_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "env").write_text(
        "# written by fleetpulse up\nFLEETPULSE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1234\nFLEETPULSE_KAFKA_PARTITIONS=3\n"
    )
    environ = {"FLEETPULSE_DATA_DIR": str(tmp_path), "FLEETPULSE_KAFKA_PARTITIONS": "5"}
    loaded = load(KafkaSettings, environ)
    assert loaded.bootstrap_servers == "127.0.0.1:1234"
    assert loaded.partitions == 5
    assert load(KafkaSettings, {"FLEETPULSE_DATA_DIR": str(tmp_path / "other")}) == KafkaSettings()


def test_every_setting_has_a_default_of_its_type_and_a_sentence() -> None:
    for group in settings.GROUPS:
        group()
        assert group.__doc__
        for item in fields(group):
            sentence = item.metadata["sentence"]
            assert len(sentence.split()) >= 2, item.name
            assert sentence.endswith("."), item.name


def test_a_secrets_value_is_in_no_message() -> None:
    for group in settings.GROUPS:
        for item in fields(group):
            assert item.type in ("str", str) or not item.metadata["secret"]


def test_the_table_masks_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA_SASL_PASSWORD", "hunter2")
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    assert "FLEETPULSE_KAFKA_SASL_PASSWORD=********" in printed
    assert "FLEETPULSE_KAFKA_PARTITIONS=12  (int; default 12)" in printed


def test_the_table_shows_value_and_default_and_where_everything_lies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA_PARTITIONS", "4")
    monkeypatch.setenv("FLEETPULSE_DATA_DIR", str(tmp_path))
    assert main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        "# Where everything lies.",
        f"FLEETPULSE_DATA_DIR={tmp_path}  (Path; default .fleetpulse)",
    ]
    assert "FLEETPULSE_KAFKA_PARTITIONS=4  (int; default 12)" in printed
    assert "FLEETPULSE_KAFKA_SSL_CAFILE=  (str; default empty)" in printed
    assert "    SASL password. Or FLEETPULSE_KAFKA_SASL_PASSWORD_FILE names a file with it." in printed
    assert main(["--json"]) == 0
    rows = {row["variable"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert (rows["FLEETPULSE_KAFKA_PARTITIONS"]["value"], rows["FLEETPULSE_KAFKA_PARTITIONS"]["default"]) == ("4", "12")
    assert (rows["FLEETPULSE_DATA_DIR"]["value"], rows["FLEETPULSE_DATA_DIR"]["default"]) == (
        str(tmp_path),
        ".fleetpulse",
    )
    secrets = {name for name in settings.known_variables() if name.endswith("_FILE")} - rows.keys()
    assert rows.keys() == settings.known_variables() - secrets


def test_the_table_names_unknown_and_wrong_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA_PARTITION", "4")
    monkeypatch.setenv("FLEETPULSE_AGENT_INTERVAL_SECONDS", "soon")
    assert main(["--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any(
        "FLEETPULSE_KAFKA_PARTITION is not a setting: did you mean FLEETPULSE_KAFKA_PARTITIONS?" in p for p in problems
    )
    assert any("FLEETPULSE_AGENT_INTERVAL_SECONDS is 'soon'" in problem for problem in problems)
    assert {row["variable"] for row in table()[0]} <= settings.known_variables()
