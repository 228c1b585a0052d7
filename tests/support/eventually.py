"""Waiting for something that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.patience import patient

T = TypeVar("T")


def eventually(check: Callable[[], T | None], timeout: float = 30.0, interval: float = 0.1) -> T:
    """Call ``check`` until it returns something true and return that; fails with what it last said.

    ``timeout`` is that of a quiet machine. ``check`` may assert: an AssertionError is "not yet" until the time is up.
    """
    begin = time.monotonic()
    while True:
        last: object
        try:
            value = check()
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if (taken := time.monotonic() - begin) > patient(timeout):
            raise AssertionError(f"not within {taken:.0f} s; last: {last!r}") from (
                last if isinstance(last, AssertionError) else None
            )
        time.sleep(interval)
