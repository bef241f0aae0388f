"""How often the same complaint is logged: Faust and aiokafka log 100 lines a second while a broker is away."""

import logging
from collections import OrderedDict
from collections.abc import Callable

from pipeline.adapters.clock import monotonic_ms

NOISY_LOGGERS = ("faust", "mode", "aiokafka")
MAX_MESSAGES = 512
"""Kinds of message that are remembered; the least recently logged goes first."""


class OncePerInterval(logging.Filter):
    """Lets the same message through once per interval, and says at the next how many were kept back.

    Messages are the same when logger, level and format string are. What is below warning is not touched when it comes
    less than ``free_per_interval`` times.

    Parameters
    ----------
    interval_ms
        Length of the interval, ms.
    free_per_interval
        Messages of one kind let through in each interval before the rest is kept back.
    now_ms
        Monotonic clock.

    Attributes
    ----------
    n_suppressed
        Messages kept back since the start.

    """

    def __init__(self, *, interval_ms: int = 10_000, free_per_interval: int = 1, now_ms: Callable[[], int] = monotonic_ms) -> None:
        super().__init__()
        self._interval_ms = interval_ms
        self._free = free_per_interval
        self._now_ms = now_ms
        self._seen: OrderedDict[tuple[str, int, str], list[int]] = OrderedDict()
        self.n_suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is let through."""
        kind = (record.name, record.levelno, str(record.msg))
        now_ms = self._now_ms()
        began_ms, passed, kept_back = self._seen.pop(kind, [now_ms, 0, 0])
        if now_ms - began_ms >= self._interval_ms:
            if kept_back:
                record.msg = f"{record.msg} [and {kept_back} more like it]"
            began_ms, passed, kept_back = now_ms, 0, 0
        is_free = passed < self._free
        self._seen[kind] = [began_ms, passed + is_free, kept_back + (not is_free)]
        if len(self._seen) > MAX_MESSAGES:
            self._seen.popitem(last=False)
        self.n_suppressed += not is_free
        return is_free


def throttle(handler: logging.Handler, *, interval_ms: int = 10_000) -> OncePerInterval:
    """Throttle what a handler writes of Faust, mode and aiokafka; other loggers are not touched.

    A filter on a logger is not asked about its children's records, so it sits on the handler.
    """
    once = OncePerInterval(interval_ms=interval_ms)

    class OnlyNoisy(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return record.name.partition(".")[0] not in NOISY_LOGGERS or once.filter(record)

    handler.addFilter(OnlyNoisy())
    return once
