"""What the C allocator does with freed memory, in the workers that make and drop large arrays all the time.

By default glibc gives every freed array back to the kernel and faults its pages in again for the next one, which costs
a worker more than what it does with the array (measured: 0.05 µs a sample of ingest's 0.30). Kept memory is bounded by
what the worker needed at once at its peak.
"""

import ctypes
import gc

# Names and numbers of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 256 * 1024 * 1024  # free memory at the end of the heap beyond this goes back


COLLECT_AFTER = (100_000, 20, 20)  # what lives as long as a batch is not looked through again and again


def keep_freed_memory() -> bool:
    """Keep it, for all threads together; call before they start. False where the C library has no such switch.

    Python's search for unreachable cycles, of which the path of a sample makes none, becomes rarer as well.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    values = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, KEPT_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES))
    done = [mallopt(parameter, value) for parameter, value in values]
    return all(done)
