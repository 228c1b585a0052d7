"""The locks: a sha256 for everything, no host anywhere, and everything that pyproject.toml asks for."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from infra.setup import layout
from infra.setup.lock import PARTS, blocks, wheel_sizes
from infra.setup.packages import locked

PROJECT = tomllib.loads((layout.ROOT / "pyproject.toml").read_text())


def pins(*names: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        for key in blocks(layout.lock(name).read_text()):
            package, _, version = key.partition("==")
            found.setdefault(package, []).append(version)
    return found


@pytest.mark.parametrize("name", PARTS)
def test_every_package_is_pinned_with_hashes_and_no_host(name: str) -> None:
    text = layout.lock(name).read_text()
    assert "://" not in text
    assert str(layout.ROOT) not in text
    for key, lines in blocks(text).items():
        first, *rest = lines.rstrip("\n").splitlines()
        assert re.fullmatch(r"\S+==\S+( ; [^\\]+)? \\", first), key
        assert rest, key
        for line in rest:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), key


def requirements(*places: list[str]) -> list[Requirement]:
    return [Requirement(text) for place in places for text in place if not text.startswith("fleetpulse[")]


@pytest.mark.parametrize(
    ("locks", "asked"),
    [
        (("services", "embedded"), [PROJECT["project"]["dependencies"]]),
        (("services",), [PROJECT["project"]["optional-dependencies"][name] for name in ("processors", "api")]),
        (("services", "embedded"), [PROJECT["project"]["optional-dependencies"]["embedded"]]),
        (layout.CLONE_LOCKS, [PROJECT["dependency-groups"]["dev"]]),
        (("build",), [PROJECT["dependency-groups"]["build"]]),
        (("node",), [PROJECT["dependency-groups"]["node"]]),
    ],
)
def test_what_the_project_asks_for_is_locked(locks: tuple[str, ...], asked: list[list[str]]) -> None:
    pinned = pins(*locks)
    for requirement in requirements(*asked):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{requirement}: run `make lock`"
        for version in pinned[name]:
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: run `make lock`"


def test_the_clones_locks_do_not_overlap() -> None:
    keys = [key for name in layout.CLONE_LOCKS for key in blocks(layout.lock(name).read_text())]
    assert len(keys) == len(set(keys))


def test_sizes_are_known_before_the_download() -> None:
    packages, size = locked(*layout.CLONE_LOCKS)
    assert packages > 60
    assert 200e6 < size < 1000e6


def test_the_size_is_that_of_a_wheel_for_this_kind_of_machine() -> None:
    wheels = [
        {"url": "x/a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "size": 7},
        {"url": "x/a-1-cp311-cp311-win_amd64.whl", "size": 900},
        {"url": "x/a-1-cp311-cp311-musllinux_1_2_x86_64.whl", "size": 800},
    ]
    assert wheel_sizes({"package": [{"name": "a", "version": "1", "wheels": wheels}]}) == {"a==1": 7}


def test_npm_and_jar_locks_have_hashes_and_no_host() -> None:
    npm = json.loads((layout.WEB / "package-lock.json").read_text())
    for path, package in npm["packages"].items():
        assert "resolved" not in package, path
        assert not path or package["integrity"].startswith("sha512-"), path
    jars = Path(layout.ROOT / "infra" / "embedded" / "kafka-jars.lock").read_text()
    assert "://" not in jars
    assert len(re.findall(r"^[0-9a-f]{64}\b", jars, re.MULTILINE)) > 30
