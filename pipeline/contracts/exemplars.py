"""Exemplars: single requests by their trace ids, a few a window, so that "slow" leads to one slow request."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

MAX_KEPT = 5
"""Of a window: so many of the slowest, and so many of the failed ones."""


class Exemplar(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One request.

    Attributes
    ----------
    trace_id
        Of its trace: 32 hex digits where OpenTelemetry made it.
    time_ms
        When it ended.
    value_ms
        How long it took; ``None``: not told.
    failed
        Whether it failed.

    """

    trace_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: int
    value_ms: float | None = None
    failed: bool = False


def kept(exemplars: Iterable[Exemplar], most: int) -> list[Exemplar]:
    """Return the ``most`` slowest, and the ``most`` slowest of the failed ones.

    The slowest stand first; ties go by trace id. ``kept(kept(a) + kept(b))`` is ``kept(a + b)``, so partials may be merged
    in any order and grouping.
    """
    ranked = sorted({*exemplars}, key=_rank)
    slow = [exemplar for exemplar in ranked if exemplar.value_ms is not None][:most]
    failed = [exemplar for exemplar in ranked if exemplar.failed][:most]
    return sorted({*slow, *failed}, key=_rank)


def with_one(known: list[Exemplar], new: Exemplar, most: int) -> list[Exemplar]:
    """Return what :func:`kept` makes of ``known``, which it has made, and one more."""
    if not new.failed and len(known) >= most and _rank(new) > _rank(known[most - 1]):
        return known
    return kept([*known, new], most)


def _rank(exemplar: Exemplar) -> tuple[float, str, int, bool]:
    value_ms = -1.0 if exemplar.value_ms is None else exemplar.value_ms
    return -value_ms, exemplar.trace_id, exemplar.time_ms, exemplar.failed
