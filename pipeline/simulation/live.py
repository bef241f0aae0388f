"""A shop whose faults change while it runs: its history as summaries, then its live requests, without a seam."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.simulation.faults import Fault
from pipeline.simulation.messages import Message, arrays, one_each
from pipeline.simulation.records import Detail, records
from pipeline.simulation.shop import WINDOW_MS, Shop


class LiveShop:
    """Messages of a shop; a fault set now shows from the next window that is drawn.

    A window is drawn when its first message is asked for, so who paces the messages decides how soon that is.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def suffer(self, faults: Iterable[Fault]) -> None:
        """Set all faults there are, instead of those before."""
        self._shop = replace(self._shop, faults=tuple(faults))

    def history(self, start_ms: int, end_ms: int) -> Iterator[Message]:
        """Yield what was reported in ``[start_ms, end_ms)``: a message a service and window."""
        return arrays(records(self._shop, start_ms, end_ms), WINDOW_MS)

    def live(self, start_ms: int) -> Iterator[Message]:
        """Yield what happens from ``start_ms`` (a window's start) on, a message a request; never ends."""
        while True:
            yield from one_each(records(self._shop, start_ms, start_ms + WINDOW_MS, Detail.REQUESTS))
            start_ms += WINDOW_MS
