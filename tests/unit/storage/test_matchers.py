"""Label matchers and the condition that they become."""

import pytest

from fleetpulse.errors import RejectedError
from fleetpulse.storage.matchers import Matcher, conditions, parse_matcher


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ('mode="idle"', Matcher("mode", "=", "idle")),
        ('mode!="idle"', Matcher("mode", "!=", "idle")),
        ('mode=~"a|b"', Matcher("mode", "=~", "a|b")),
        (' mode !~ "a.*" ', Matcher("mode", "!~", "a.*")),
        ('__name__="x"', Matcher("__name__", "=", "x")),
        (r'a="say \"hi\" \\ \n"', Matcher("a", "=", 'say "hi" \\ \n')),
        (r'a=~"\\d+"', Matcher("a", "=~", r"\d+")),
        ('a=""', Matcher("a", "=", "")),
    ],
)
def test_matchers(text: str, matcher: Matcher) -> None:
    assert parse_matcher(text) == matcher


@pytest.mark.parametrize(
    "text", ["", "mode", "mode=idle", "mode='idle'", 'mode=="idle"', 'mode="a"b"', 'mode="a" OR 1', '1a="b"', 'é="b"']
)
def test_what_is_no_matcher(text: str) -> None:
    with pytest.raises(RejectedError, match="is not a matcher"):
        parse_matcher(text)


def test_no_text_of_a_user_is_in_the_condition() -> None:
    clause, parameters = conditions([Matcher("a'b", "=", "x' OR 1"), Matcher("c", "!~", "y|z")])

    assert clause == (
        " AND tags[{label_0:String}] = {label_value_0:String}"
        " AND NOT match(tags[{label_1:String}], {label_value_1:String})"
    )
    assert parameters == {
        "label_0": "a'b",
        "label_value_0": "x' OR 1",
        "label_1": "c",
        "label_value_1": "^(?s:y|z)$",
    }
