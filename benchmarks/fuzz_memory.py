"""How much memory one piece of work takes at its height: by Python's own account, and as the kernel sees the process."""

import os
import re
import tracemalloc
from collections.abc import Callable

_RESET_PEAK = b"5"
"""Sets ``VmHWM`` to what is resident now; see proc_pid_clear_refs(5)."""
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")


def traced_peak(work: Callable[[], object]) -> int:
    """Return the most bytes that Python allocations of some work had at once.

    Exact, and five times slower than the work alone. What C libraries allocate by themselves (protobuf's messages, zlib's
    window) is not in it.
    """
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class ResidentPeak:
    """How far above its level a process rises while some work is done: whoever allocates it, in pages.

    Memory that the allocator kept from earlier work is used again unseen, so a rise is a lower bound. Where the kernel has no
    such account (anything but Linux) every rise is 0.
    """

    def __init__(self) -> None:
        try:
            self._clear_refs = os.open("/proc/self/clear_refs", os.O_WRONLY)
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._clear_refs = self._status = -1

    def rise(self, work: Callable[[], object]) -> int:
        """Do the work and return the bytes."""
        if self._status < 0:
            work()
            return 0
        os.write(self._clear_refs, _RESET_PEAK)
        before = self._peak()
        work()
        return self._peak() - before

    def close(self) -> None:
        """Close what was opened."""
        for opened in {self._clear_refs, self._status} - {-1}:
            os.close(opened)

    def _peak(self) -> int:
        found = _PEAK.search(os.pread(self._status, 8192, 0))
        return 0 if found is None else int(found[1]) * 1024
