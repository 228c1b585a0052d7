"""The table of commands names functions that exist."""

from importlib import import_module

import pytest

from fleetpulse import cli


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_can_be_loaded(name: str) -> None:
    target, sentence = cli.COMMANDS[name]
    module, _, function = target.partition(":")
    assert callable(getattr(import_module(module), function))
    assert sentence.endswith(".")
