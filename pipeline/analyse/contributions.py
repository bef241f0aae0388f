"""What a window holds: one contribution per source that the same chunk replaces and a later chunk makes final; late counts."""

from typing import Self

import msgspec

from pipeline.analyse.log_lines import MAX_KEPT, kept_lines
from pipeline.contracts.partial_sums import merge_partials
from pipeline.contracts.partials import Partial

WindowKey = tuple[str, int, int]
"""(service key, window start in ms, window size in ms)."""
LateKey = tuple[str, int, int, str, int, int]
"""(service key, start and size of the partial in ms, source, epoch, chunk)."""
Chunk = tuple[int, int]
"""(epoch, offset of the chunk's first record): compare as a pair."""


class Contribution(msgspec.Struct, kw_only=True, frozen=True):
    """What the newest chunk of one source holds for one partial of a window, up to the offset ``through``."""

    source: str
    epoch: int
    chunk: int
    through: int
    partial: Partial

    @property
    def place(self) -> tuple[str, int, int]:
        """Which contribution this is within its window; a widened window takes several partials of one source."""
        return self.source, self.partial.start_ms, self.partial.size_ms

    @property
    def chunk_pair(self) -> Chunk:
        """(epoch, chunk)."""
        return self.epoch, self.chunk


class WindowRow(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One open window of a service.

    Attributes
    ----------
    applied
        Offset of the last bundle that changed it.
    base, base_sources
        The sum of what is final, and the sources it came from.
    newest
        Per source and partial, the contribution of the newest chunk.
    revision, sent, sent_mark
        Of the last publication: its number, how many readings it held (``None``: not published), and the mark of its
        series' points (0: none).

    """

    environment: str
    service: str
    start_ms: int
    size_ms: int
    applied: int = -1
    base: Partial | None = None
    base_sources: tuple[str, ...] = ()
    newest: tuple[Contribution, ...] = ()
    revision: int = 0
    sent: int | None = None
    sent_mark: int = 0

    @property
    def readings(self) -> int:
        """Readings counted in it, which tell whether its value has changed.

        A partial is a function of (config, chunk, through), and each further reading raises its count: with equal
        counts the values are equal.
        """
        return (self.base.readings if self.base is not None else 0) + sum(c.partial.readings for c in self.newest)

    @property
    def value(self) -> Partial:
        """The sum of all that it holds; do not change it."""
        parts = [c.partial for c in self.newest]
        if self.base is not None:
            parts.insert(0, self.base)
        return parts[0] if len(parts) == 1 else merge_partials(parts)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that contributed."""
        return tuple(sorted({*self.base_sources, *(c.source for c in self.newest)}))

    def put(self, new: Contribution) -> Self:
        """Return the row with a contribution in it.

        A higher ``through`` of the same chunk replaces; what an earlier chunk of the source left becomes final. The
        caller has refused chunks lower than the source's newest.
        """
        finished = [c for c in self.newest if c.source == new.source and c.chunk_pair < new.chunk_pair]
        kept = [c for c in self.newest if c.source != new.source or c.chunk_pair >= new.chunk_pair]
        place = next((i for i, c in enumerate(kept) if c.place == new.place), None)
        if place is None:
            kept.append(new)
        elif new.through >= kept[place].through:
            kept[place] = new
        else:
            return self
        if not finished:
            return msgspec.structs.replace(self, newest=tuple(kept))
        final = [c.partial for c in finished]
        base = merge_partials(final if self.base is None else [self.base, *final])
        if len(base.templates) > MAX_KEPT:
            base = msgspec.structs.replace(base, templates=kept_lines(base.templates))
        return msgspec.structs.replace(
            self,
            base=base,
            base_sources=tuple(sorted({*self.base_sources, new.source})),
            newest=tuple(kept),
        )


class LateRow(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one chunk brought for a window that was gone: published as such, kept until the chunk is finished."""

    environment: str
    service: str
    start_ms: int
    size_ms: int
    source: str
    epoch: int
    chunk: int
    through: int
    readings: int
    applied: int = -1
