"""What time it is: the one place that asks the machine."""

import time


def now_ms() -> int:
    """Return the time in UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - this is the clock that everybody else is given


def monotonic_ms() -> int:
    """Return milliseconds that never go back, from an arbitrary start."""
    return time.monotonic_ns() // 1_000_000
