"""`fleetpulse logs` on real files."""

import os
from pathlib import Path

import pytest

from fleetpulse.errors import FatalError
from infra.embedded import logs
from infra.embedded.child import keep_bounded
from infra.embedded.folder import DataFolder


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    return folder


def test_the_end_of_a_log(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.log_file("ingest").write_text("".join(f"line {number}\n" for number in range(100)))
    assert logs.main(["ingest", "-n", "2", "--data-dir", str(folder.root)]) == 0
    assert capsys.readouterr().out == "line 98\nline 99\n"


def test_without_a_name_the_logs_are_listed(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.log_file("api").write_text("x" * 5000)
    folder.log_file("history").touch()
    folder.log_file("rules").write_text("one line")
    assert logs.main(["--data-dir", str(folder.root)]) == 0
    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert listed == [["api", "5"], ["history", "0"], ["rules", "1"]]


def test_an_unknown_name_says_which_there_are(folder: DataFolder) -> None:
    folder.log_file("api").touch()
    with pytest.raises(FatalError, match="there are: api"):
        logs.main(["nope", "--data-dir", str(folder.root)])


def test_following_survives_the_log_being_emptied(folder: DataFolder) -> None:
    path = folder.log_file("ingest")
    path.write_text("old\n")
    following = logs.follow(path, path.stat().st_size)
    with path.open("ab") as writer:
        writer.write(b"first, and long enough to be longer than what follows\n")
        writer.flush()
        assert next(following).startswith("first")
        keep_bounded(path, most_bytes=10)
        writer.write(b"second\n")
        writer.flush()
        assert next(following) == "second\n"
    assert path.read_text() == "second\n"
    assert path.with_name("ingest.log.1").read_text().startswith("old\nfirst")
    assert os.stat(path).st_size == len("second\n")
