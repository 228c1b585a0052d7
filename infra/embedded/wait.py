"""Waiting for a child to be ready, with a bound."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fleetpulse.errors import FatalError
from infra.embedded.child import Child, tail


def wait_ready(
    child: Child,
    not_ready: Callable[[], str | None],
    within: float,
    tick: Callable[[float], None] = lambda seconds: None,
) -> float:
    """Poll until ``not_ready`` returns None; returns the seconds it took.

    Raises FatalError with the end of the log when the child ends first or the bound passes.
    """
    started = time.monotonic()
    while True:
        code = child.exit_code()
        if code is not None:
            raise FatalError(f"{child.name} ended with exit code {code} before it was ready{_log_of(child)}")
        cause = not_ready()
        seconds = time.monotonic() - started
        if cause is None:
            return seconds
        if seconds > within:
            raise FatalError(f"{child.name} is not ready after {within:.0f} s: {cause}{_log_of(child)}")
        tick(seconds)
        time.sleep(0.1)


def _log_of(child: Child) -> str:
    path = child.command.log_file
    return f"; the end of {path}:\n{tail(path)}"


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Keep a client library from logging the refused connections that are being waited out."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
