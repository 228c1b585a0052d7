"""Waiting for something that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T | None], timeout: float = 30.0, interval: float = 0.1) -> T:
    """Call ``check`` until it returns something true and return that; fails with what it last said.

    ``check`` may assert: an AssertionError counts as "not yet" until the time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = check()
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s; last: {last!r}") from (
                last if isinstance(last, AssertionError) else None
            )
        time.sleep(interval)
