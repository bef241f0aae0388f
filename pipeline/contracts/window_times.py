"""Window arithmetic: epoch-aligned tumbling windows, half-open `[start, end)`, integer milliseconds."""

BASE_SIZE_MS = 10_000
ROLLUP_SIZE_MS = 300_000
SIZES_MS = (BASE_SIZE_MS, 60_000, ROLLUP_SIZE_MS)
LONGEST_INTERVAL_MS = ROLLUP_SIZE_MS * 10 // 9
"""An interval fits a window that is at least 0.9 of its length; a longer one fits none."""


def window_start(time_ms: int, size_ms: int) -> int:
    """Return the start of the window of ``size_ms`` that holds ``time_ms``.

    Examples
    --------
    >>> window_start(19_999, 10_000), window_start(20_000, 10_000)
    (10000, 20000)

    """
    return time_ms - time_ms % size_ms


def size_for_interval(interval_ms: int) -> int:
    """Return the smallest window size that is at least 0.9 of a report's interval, in ms.

    Raises
    ------
    ValueError
        If the interval is longer than any window allows.

    Examples
    --------
    >>> size_for_interval(10_000), size_for_interval(11_000), size_for_interval(12_000), size_for_interval(300_000)
    (10000, 10000, 60000, 300000)

    """
    for size_ms in SIZES_MS:
        if size_ms * 10 >= interval_ms * 9:
            return size_ms
    raise ValueError(f"interval must be at most {LONGEST_INTERVAL_MS} ms, got {interval_ms}")
