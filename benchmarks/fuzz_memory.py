"""How much memory one piece of work takes at its height: by Python's own account, and as the kernel sees the process."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Sets ``VmHWM`` to what is resident now; see proc_pid_clear_refs(5)."""


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
        self._can = _CLEAR_REFS.exists()

    def rise(self, work: Callable[[], object]) -> int:
        """Do the work and return the bytes."""
        if not self._can:
            work()
            return 0
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _peak_bytes()
        work()
        return _peak_bytes() - before


def _peak_bytes() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
