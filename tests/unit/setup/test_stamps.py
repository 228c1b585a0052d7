"""A step runs again when what goes into it changes or what it made is gone, and only then."""

from pathlib import Path

from infra.setup.stamps import Stamps, content_hash


def test_a_step_is_current_until_its_product_is_gone(tmp_path: Path) -> None:
    stamps, product = Stamps(tmp_path / "stamps"), tmp_path / "product"
    assert not stamps.is_current("build", "a", [product])
    product.touch()
    stamps.write("build", "a")
    assert stamps.is_current("build", "a", [product])
    assert not stamps.is_current("build", "b", [product])
    assert not stamps.is_current("other", "a", [product])
    product.unlink()
    assert not stamps.is_current("build", "a", [product])


def test_a_step_that_was_begun_again_is_not_done(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path)
    stamps.write("build", "a")
    stamps.forget("build")
    assert not stamps.is_current("build", "a", [])


def test_the_hash_follows_names_contents_and_facts(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    first = content_hash([folder], ["fact"])
    assert content_hash([folder], ["fact"]) == first
    assert content_hash([folder], ["another"]) != first
    (folder / "b").write_text("3")
    changed = content_hash([folder], ["fact"])
    assert changed != first
    (folder / "b").rename(folder / "c")
    assert content_hash([folder], ["fact"]) not in (first, changed)


def test_an_absent_file_is_a_content_of_its_own(tmp_path: Path) -> None:
    absent = content_hash([tmp_path / "lock"])
    (tmp_path / "lock").write_text("")
    assert content_hash([tmp_path / "lock"]) != absent
