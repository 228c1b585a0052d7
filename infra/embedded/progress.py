"""One line that says how far a step is: rewritten in place on a terminal, sparse lines elsewhere."""

import shutil
import sys
import time
from typing import TextIO

SPARSE_SECONDS = 10.0


class Progress:
    """Shows ``text`` while a step runs and leaves its last text behind."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.terminal = self._stream.isatty()
        self._shown_at = -SPARSE_SECONDS
        self._open = False

    def update(self, text: str) -> None:
        """Show ``text`` as the state of the running step."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{text[:width]}")
            self._open = True
        elif time.monotonic() - self._shown_at >= SPARSE_SECONDS:
            self._shown_at = time.monotonic()
            self._write(f"{text}\n")

    def done(self, text: str) -> None:
        """Leave ``text`` and end the line."""
        self._write(f"\r\x1b[K{text}\n" if self._open else f"{text}\n")
        self._open = False
        self._shown_at = time.monotonic()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
