"""The five-minute sum of a service's whole windows: what of it is final, and what was published."""

from collections.abc import Sequence
from typing import Self

import msgspec

from pipeline.analyse.contributions import WindowRow
from pipeline.contracts.partial_sums import add_partial, copied, merge_partials
from pipeline.contracts.partials import Partial
from pipeline.contracts.window_times import ROLLUP_SIZE_MS, window_start

RollupKey = tuple[str, int]
"""(service key, start of the five minutes in ms)."""


def rollup_key(service: str, start_ms: int, size_ms: int) -> RollupKey | None:
    """Return the rollup that a window is part of; a five-minute window is none's: it is its own."""
    return None if size_ms >= ROLLUP_SIZE_MS else (service, window_start(start_ms, ROLLUP_SIZE_MS))


class RollupRow(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The sum of the windows that are gone (``base``); those still open are added when it is published.

    ``base`` is the row's own: nothing that lives longer than the next :meth:`folded` holds a part of it.
    Marks (of series' points) add up over its windows, whether open or gone.
    """

    environment: str
    service: str
    start_ms: int
    applied: int = -1
    base: Partial | None = None
    base_sources: tuple[str, ...] = ()
    revision: int = 0
    sent: int | None = None
    base_mark: int = 0
    sent_mark: int = 0

    @property
    def end_ms(self) -> int:
        """End of the five minutes."""
        return self.start_ms + ROLLUP_SIZE_MS

    def folded(self, window: WindowRow, value: Partial, mark: int) -> Self:
        """Return the rollup with a window in it that goes: its value, and the mark of its series' points.

        What log lines say is told by windows alone. The sum is made in place: from now on the returned row is the one to use,
        and ``self`` is no longer.
        """
        if value.templates:
            value = msgspec.structs.replace(value, templates={})
        if self.base is None:
            base = copied(value)
        else:
            base = self.base
            add_partial(base, value)
        return msgspec.structs.replace(
            self,
            base=base,
            base_sources=tuple(sorted({*self.base_sources, *window.sources})),
            base_mark=self.base_mark + mark,
        )

    def readings(self, windows: Sequence[WindowRow]) -> int:
        """Return the readings in it, which tell whether it has changed (see :attr:`WindowRow.readings`)."""
        return (0 if self.base is None else self.base.readings) + sum(window.readings for window in windows)

    def value(self, values: Sequence[Partial]) -> Partial | None:
        """Return the sum of what is gone and of what the open windows hold; ``None`` when nothing was counted.

        It may share parts with ``base``, and holds until a window is folded into that.
        """
        parts = list(values) if self.base is None else [self.base, *values]
        return merge_partials(parts) if parts else None

    def sources(self, windows: Sequence[WindowRow]) -> int:
        """Return how many sources contributed."""
        return len({*self.base_sources, *(source for window in windows for source in window.sources)})
