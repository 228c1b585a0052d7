"""The oracle of notifications: what is right passes, and each way to break the promise is named."""

import pytest

from tests.support.told import Arrival, extras, problems


def said(key: str, at: float, firing: str = "", resolved: str = "", answer: str = "yes", number: int = 1) -> Arrival:
    """`answer`: yes, lost (taken without an answer) or no; one letter is one alert."""
    fires = tuple((alert, f"{alert}{number}") for alert in firing)
    return Arrival(at, key, "g", fires, tuple(resolved), answer != "no", answer == "yes")


def test_what_is_right_passes() -> None:
    arrivals = [
        said("1", 1, "a"),
        said("1", 3, "a"),  # the crash at 2
        said("2", 4, "ab", answer="lost"),
        said("2", 5, "ab", answer="no"),
        said("2", 6, "ab"),
        said("3", 7, "b", "a"),
        said("4", 8, "ab", number=2),
    ]
    assert problems(arrivals, [2.0], "ab") == []
    assert extras(arrivals) == 2


WRONG: list[tuple[str, list[Arrival], str, str]] = [
    ("came again without a reason", [said("1", 1, "a"), said("1", 3, "a")], "a", ""),
    ("says what 1 said", [said("1", 1, "a"), said("2", 3, "a")], "a", ""),
    ("says two things", [said("1", 1, "a", answer="no"), said("1", 3, "ab")], "ab", ""),
    ("came again after another", [said("1", 1, "a"), said("2", 2, "ab"), said("1", 3, "a")], "ab", ""),
    ("fires after its end", [said("1", 1, "a"), said("2", 2, "", "a"), said("3", 3, "a")], "a", ""),
    ("ends and never fired", [said("1", 1, "", "a")], "", ""),
    ("b fires and the receiver does not know it", [said("1", 1, "a"), said("2", 2, "ab", answer="no")], "ab", ""),
    ("a has ended and the receiver does not know it", [said("1", 1, "a")], "", ""),
    ("a was told although it was quiet", [said("1", 1, "a")], "a", "a"),
]


@pytest.mark.parametrize(("problem", "arrivals", "holds", "never"), WRONG)
def test_what_is_wrong_is_named(problem: str, arrivals: list[Arrival], holds: str, never: str) -> None:
    (found,) = problems(arrivals, [], holds, never)
    assert problem in found
