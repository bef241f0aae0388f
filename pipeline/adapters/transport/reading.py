"""What an app's bulk driver reads in bulk, and what it remembers about it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import faust
from faust.types import TP

from pipeline.adapters.codecs import MAX_BATCH_BYTES
from pipeline.adapters.ledger import Ledger

OnJump = Callable[[str, int, int, int], None]
"""Called with topic, partition, expected and delivered offset."""


@dataclass(slots=True, kw_only=True)
class BulkReading:
    """Bulk topics of one app.

    Attributes
    ----------
    topics
        Topics that are handed to agents in batches and committed by the ledger.
    is_embedded
        Whether the broker is Tansu, whose ListOffsets and commit metadata cannot be relied on.
    jumps
        Deliveries that did not go on from the one before, by partition; stock topics too.
    on_jump
        Told of each of them.
    max_batch_bytes
        What a record batch may be decompressed to, bytes.
    max_batch_bytes_by_tp
        Of partitions for which something else holds, until a seek there has made it so (``read_under``).

    """

    topics: frozenset[str]
    ledger: Ledger = field(default_factory=Ledger)
    is_embedded: bool = False
    jumps: Counter[TP] = field(default_factory=Counter)
    on_jump: OnJump | None = None
    max_batch_bytes: int = MAX_BATCH_BYTES
    max_batch_bytes_by_tp: dict[TP, int] = field(default_factory=dict)

    def batch_limit(self, tp: TP) -> int:
        """Return what a record batch of a partition may be decompressed to, bytes."""
        return self.max_batch_bytes_by_tp.get(tp, self.max_batch_bytes)

    def note_jump(self, tp: TP, expected: int, delivered: int) -> None:
        """Count a jump, and tell."""
        self.jumps[tp] += 1
        if self.on_jump is not None:
            self.on_jump(tp.topic, tp.partition, expected, delivered)


def reading_of(app: faust.App) -> BulkReading:
    """Return what an app reads in bulk; nothing, for one that was not made by ``make_app``."""
    reading = getattr(app, "bulk", None)
    return cast(BulkReading, reading) if reading is not None else BulkReading(topics=frozenset())
