"""A step's line: refreshed in place on a terminal, else a plain line at its start, every 10 s and at its end."""

import sys
import time
from typing import TextIO

PLAIN_SECONDS = 10.0


class Progress:
    """One step of several, with the seconds it has taken."""

    def __init__(self, title: str, out: TextIO | None = None) -> None:
        self._title = title
        self._out = out or sys.stdout
        self._in_place = self._out.isatty()
        self._start = self._shown = time.monotonic()
        self._write("", end="\r" if self._in_place else "\n")

    def update(self, state: str) -> None:
        """Show how far the step is."""
        now = time.monotonic()
        if self._in_place:
            self._write(f"{state}  {now - self._start:.0f} s", end="\r")
        elif now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            self._write(f"{state}  {now - self._start:.0f} s", end="\n")

    def done(self, result: str) -> None:
        """End the line with what was made."""
        self._write(f"{result}  {time.monotonic() - self._start:.0f} s", end="\n")

    def _write(self, text: str, end: str) -> None:
        line = f"{self._title}  {text}".rstrip()
        self._out.write(f"\x1b[2K{line[:110]}{end}" if self._in_place else f"{line}{end}")
        self._out.flush()


def megabytes(size: int) -> str:
    """Bytes in MB, the unit in which packages are announced."""
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"
