"""`make setup` performs what is due and nothing else; `make clean` leaves data and sources alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from infra.setup import commands, layout, preflight
from infra.setup.progress import Progress
from infra.setup.running import StepError
from infra.setup.steps import Step, all_steps


class Recorder:
    """Steps `first` and `second`, each made from a file of its name; `performed` says which ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.performed: list[str] = []
        self.failing = ""

    def steps(self) -> list[Step]:
        return [self._step(name) for name in ("first", "second")]

    def _step(self, name: str) -> Step:
        def perform(progress: Progress) -> str:
            self.performed.append(name)
            if name == self.failing:
                raise StepError("`pip install …` ended with 1")
            (self.folder / f"{name}.product").touch()
            return "made"

        source = self.folder / name
        return Step(name, name.title(), (source,), (), (self.folder / f"{name}.product",), 1000, perform)


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(layout, "BUILD", tmp_path / ".build")
    monkeypatch.setattr(commands, "all_steps", recorder.steps)
    return recorder


def test_a_second_run_does_nothing_and_says_nothing(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.install() == 0
    assert recorder.performed == ["first", "second"]
    assert "[2/2] Second  made" in capsys.readouterr().out
    assert commands.install() == 0
    assert recorder.performed == ["first", "second"]
    assert capsys.readouterr().out == ""


def test_what_changed_or_is_gone_is_made_again(recorder: Recorder) -> None:
    commands.install()
    (recorder.folder / "second").write_text("2")
    commands.install()
    assert recorder.performed == ["first", "second", "second"]
    (recorder.folder / "first.product").unlink()
    commands.install()
    assert recorder.performed[3:] == ["first"]


def test_a_failed_step_ends_the_set_up_and_is_tried_again(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.failing = "first"
    assert commands.install() == 1
    assert "ended with 1" in capsys.readouterr().err
    recorder.failing = ""
    assert commands.install() == 0
    assert recorder.performed == ["first", "first", "second"]


def test_nothing_is_performed_on_a_machine_that_does_not_fit(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = replace(preflight.this_machine(recorder.folder), free_disk_bytes=1999)
    monkeypatch.setattr(preflight, "this_machine", lambda folder: full)
    assert commands.install() == 1
    assert "free disk" in capsys.readouterr().err
    assert recorder.performed == []
    monkeypatch.setattr(preflight, "this_machine", lambda folder: replace(full, free_disk_bytes=2000))
    assert commands.install() == 0


def test_check_performs_nothing(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["check"]) == 0
    assert recorder.performed == []
    assert capsys.readouterr().out.startswith("Python 3.")


def test_the_real_steps_make_what_they_promise_inside_the_clone() -> None:
    steps = all_steps()
    assert [step.name for step in steps] == ["venv", "packages", "project", "jars", "node", "npm", "page"]
    for step in steps:
        assert all(product.is_relative_to(layout.ROOT) for product in step.products)
        assert all(source.exists() for source in step.sources), step.name


def test_caches_are_inside_the_clone() -> None:
    environment = layout.environment()
    for variable in ("npm_config_cache", "FLEETPULSE_EMBEDDED_JARS_DIR"):
        assert Path(environment[variable]).is_relative_to(layout.ROOT)


def test_clean_leaves_data_and_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    built = [".venv/bin/python", ".build/jars/a.jar", "web/node_modules/x", "api/page/index.html", "api/__pycache__/a"]
    kept = [".fleetpulse/clickhouse/data", "web/src/main.tsx", "api/page.py", "Makefile"]
    for name in built + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert commands.run(["clean"]) == 0
    assert [name for name in built if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
