"""The order of the files for parallel processes."""

from tests.support.order import LONGEST, TESTS, place


def test_what_is_listed_as_long_exists_and_comes_first() -> None:
    assert [name for name in LONGEST if not (TESTS / name).exists()] == []
    first = sorted(TESTS.rglob("test_*.py"), key=place)[: len(LONGEST)]
    assert [path.relative_to(TESTS).as_posix() for path in first] == list(LONGEST)


def test_servers_come_before_pure_computing() -> None:
    folders = [path.relative_to(TESTS).parts[0] for path in sorted(TESTS.rglob("test_*.py"), key=place)]
    assert set(folders[folders.index("unit") :]) == {"unit"}
