"""Waiting for a child to be ready, with a bound."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fleetpulse.errors import FatalError
from infra.embedded.child import Child, tail

POLL_SECONDS = 0.1


def wait_ready(child: Child, not_ready: Callable[[], str | None], within: float) -> None:
    """Poll until the child is ready; raises FatalError as `why_not_ready` does."""
    while why_not_ready(child, not_ready, within) is not None:
        time.sleep(POLL_SECONDS)


def why_not_ready(child: Child, not_ready: Callable[[], str | None], within: float) -> str | None:
    """One look at a starting child: None when it is ready, else the cause.

    Raises FatalError with the end of its log when it has ended, or is not ready ``within`` seconds of its start.
    """
    code = child.exit_code()
    if code is not None:
        raise FatalError(f"{child.name} ended with exit code {code} before it was ready{_log_of(child)}")
    cause = not_ready()
    if cause is not None and time.monotonic() - child.started_at > within:
        raise FatalError(f"{child.name} is not ready after {within:.0f} s: {cause}{_log_of(child)}")
    return cause


def why_not_done(child: Child, within: float) -> str | None:
    """One look at a command that must end by itself with 0: None when it has, else what it does.

    Raises FatalError with the end of its log when it fails or takes longer than ``within`` seconds.
    """
    code = child.exit_code()
    if code is None and time.monotonic() - child.started_at > within:
        raise FatalError(f"{child.name} is not done after {within:.0f} s{_log_of(child)}")
    if code:
        raise FatalError(f"{child.name} failed with exit code {code}{_log_of(child)}")
    return None if code == 0 else "it is at work"


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
