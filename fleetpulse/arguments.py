"""Arguments of commands: what is wrong with them is said beside an example that is right."""

import argparse
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """`argparse`'s, without abbreviations; `example` is a whole command line, shown in the help and with errors."""

    def __init__(self, *arguments: Any, example: str = "", **named: Any) -> None:
        named.setdefault("allow_abbrev", False)
        if example:
            named.setdefault("epilog", f"example: {example}")
        super().__init__(*arguments, **named)
        self._example = example

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        example = f"{self.prog}: for example: {self._example}\n" if self._example else ""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\n{example}")
