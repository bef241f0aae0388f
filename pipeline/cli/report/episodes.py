"""What is worth a close look: decides which stretches of a service's time are shown large, and which series of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.backtest.labels import Label
from pipeline.backtest.record import Life
from pipeline.backtest.series import Buckets, SeriesKey, Span

JOIN_MS = 600_000
"""What follows within so long belongs together."""
LONGEST_MS = 6 * 3_600_000
"""An alert that lasts longer is shown so far."""
PAD_WINDOWS = 60
"""Windows shown before and after."""
MAX_SERIES = 3
"""Series shown of one episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A stretch of a service's time in which something happened, or was said to."""

    span: Span
    labels: tuple[Label, ...]
    lives: tuple[Life, ...]

    @property
    def conditions(self) -> list[str]:
        """Those that were alerted, the first first."""
        return list(dict.fromkeys(life.condition for life in sorted(self.lives, key=lambda life: life.fired_at_ms)))


def episodes(labels: Iterable[Label], lives: Iterable[Life], until_ms: int) -> list[Episode]:
    """Return the episodes of one service in order of time.

    Parameters
    ----------
    labels, lives
        Of the service.
    until_ms
        End of the history, UTC epoch ms.

    """
    entries: list[tuple[int, int, Label | Life]] = [(label.start_ms, label.end_ms, label) for label in labels]
    for life in lives:
        end_ms = until_ms if life.resolved_at_ms is None else life.resolved_at_ms
        entries.append((life.since_ms, min(end_ms, life.fired_at_ms + LONGEST_MS), life))
    groups: list[tuple[int, int, list[Label | Life]]] = []
    for start_ms, end_ms, what in sorted(entries, key=lambda entry: entry[:2]):
        if groups and start_ms <= groups[-1][1] + JOIN_MS:
            first_ms, last_ms, together = groups[-1]
            groups[-1] = (first_ms, max(last_ms, end_ms), [*together, what])
        else:
            groups.append((start_ms, end_ms, [what]))
    return [
        Episode(
            span=Span(start_ms=start_ms, end_ms=end_ms),
            labels=tuple(what for what in together if isinstance(what, Label)),
            lives=tuple(what for what in together if isinstance(what, Life)),
        )
        for start_ms, end_ms, together in groups
    ]


def padded(span: Span, size_ms: int) -> Span:
    """Return the span with as many windows around it as a reader needs to see what is usual."""
    pad_ms = max(PAD_WINDOWS * size_ms, (span.end_ms - span.start_ms) // 3)
    return Span(start_ms=max(0, span.start_ms - pad_ms), end_ms=span.end_ms + pad_ms)


def shown_series(episode: Episode, overviews: Mapping[SeriesKey, Buckets]) -> list[SeriesKey]:
    """Return the series to show of an episode: those alerted; if none was, those whose score was furthest from 0."""
    by_condition = {key.condition: key for key in overviews}
    alerted = [by_condition[condition] for condition in episode.conditions if condition in by_condition]
    if alerted:
        return alerted[:MAX_SERIES]
    return sorted(overviews, key=lambda key: _most(overviews[key], episode.span), reverse=True)[: MAX_SERIES - 1]


def _most(buckets: Buckets, span: Span) -> float:
    edges = buckets.span.start_ms + np.arange(len(buckets.low) + 1) * buckets.width_ms
    scores = np.abs(buckets.score[(edges[:-1] <= span.end_ms) & (edges[1:] >= span.start_ms)])
    known = scores[np.isfinite(scores)]
    return float(known.max()) if len(known) else -1.0


def busiest(services: Sequence[str], count: Mapping[str, int], most: int) -> list[str]:
    """Return at most ``most`` services in the order given: those with the highest counts."""
    kept = set(sorted(services, key=lambda key: (-count[key], key))[:most])
    return [key for key in services if key in kept]
