"""Our own class of parsers."""

import pytest

from fleetpulse.arguments import Parser


def test_our_own_parser_takes_none_and_no_sub_command_of_it_does() -> None:
    parser = Parser(prog="x")
    parser.add_subparsers().add_parser("sub").add_argument("--since")
    with pytest.raises(SystemExit):
        parser.parse_args(["sub", "--sinc", "1h"])
