"""What the start of the API does with rule files, beside what people decided."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.rule_book import FileText, RuleBook
from api.store import outbox
from api.store.engine import Database
from fleetpulse.clock import ManualClock
from fleetpulse.rules.published import AUTHORITY_KEY
from tests.support.published_rules import group_text

A, B = '{alert: A, expr: "x > 1"}', '{alert: B, expr: "x > 2"}'


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/api.sqlite")
    yield database
    database.close()


@pytest.fixture
def book(database: Database) -> RuleBook:
    return RuleBook(database, ManualClock(1), 15)


def pack(*groups: str) -> list[FileText]:
    head, *rest = groups
    return [FileText("shipped/host.yaml", head + "".join(text.removeprefix("groups:\n") for text in rest))]


def in_force(book: RuleBook) -> dict[str, tuple[str, int]]:
    return {version.name: (version.file, version.version) for version, _ in book.groups()}


def test_a_new_database_gets_the_files_and_names_itself_last(book: RuleBook, database: Database) -> None:
    book.bootstrap(pack(group_text("a", A), group_text("b", B)), "start")
    assert in_force(book) == {"a": ("shipped/host.yaml", 1), "b": ("shipped/host.yaml", 1)}
    with database.read() as connection:
        assert [row.key for row in outbox.waiting(connection, 10)] == ["a", "b", AUTHORITY_KEY]


def test_a_second_start_follows_the_files_and_leaves_what_others_decided(book: RuleBook) -> None:
    book.bootstrap(pack(group_text("a", A), group_text("b", B), group_text("c")), "start")
    book.apply([FileText("git/b.yaml", group_text("b", B.replace("2", "5")))], "ada")
    book.apply([FileText("empty.yaml", "groups: []")], "ada", prune=["shipped"])
    assert in_force(book) == {"b": ("git/b.yaml", 2)}
    book.apply([FileText("shipped/host.yaml", group_text("a", A))], "ada")
    book.bootstrap(pack(group_text("a", A.replace("1", "3")), group_text("b", B), group_text("d")), "start")
    assert in_force(book) == {
        "a": ("shipped/host.yaml", 4),  # made, deleted, made again, followed
        "b": ("git/b.yaml", 2),
        "d": ("shipped/host.yaml", 1),  # and c, which was deleted, stays so
    }
    book.bootstrap(pack(group_text("a", A.replace("1", "3"))), "start")
    assert in_force(book) == {"a": ("shipped/host.yaml", 4), "b": ("git/b.yaml", 2)}  # d is gone from its file


def test_files_that_clash_with_what_somebody_made_change_nothing(book: RuleBook) -> None:
    book.create(group_text("mine", A), "ada")
    assert book.bootstrap(pack(group_text("theirs", A)), "start") == []
    assert in_force(book) == {"mine": ("", 1)}
