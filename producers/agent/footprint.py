"""Keeping the agent small: what was imported is settled, and glibc is told not to hoard for each thread."""

import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h


def one_arena() -> None:
    """Call before threads start: glibc otherwise keeps a heap for each. Does nothing on another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Call after start-up: give back what importing left over, and let the collector pass over what stays."""
    gc.collect()
    gc.freeze()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
