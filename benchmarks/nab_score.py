"""NAB's marks for a detector's scores: rewards inside of labelled windows, penalties outside, one best threshold for all files.

What is computed is what NAB's own scorer computes [1]_; `tests/contracts/test_nab_score.py` holds the two to 0.02 on the
published results of three detectors.

.. [1] A. Lavin, S. Ahmad, *Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark*, 2015,
   https://arxiv.org/abs/1510.03336
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

PROBATION_SHARE = 0.15
"""Points at a file's beginning that are not scored ..."""
PROBATION_ROWS = 5000
"""... as a share of its rows, of this many at most."""
NO_ALERT = 1.1
"""A threshold above every score."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a right alert, a false one and a missed window are worth."""

    true_positive: float
    false_positive: float
    false_negative: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}
"""NAB's application profiles (its `config/profiles.json`)."""


@dataclass(frozen=True, slots=True)
class Marked:
    """One file's result: when, how anomalous in ``[0, 1]``, and the labelled windows (first and last time, both inside)."""

    name: str
    times: Sequence[str]
    scores: Sequence[float]
    windows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Point:
    """A scored row: what an alert there brings (before weights), and the window it is in."""

    score: float
    value: float
    window: tuple[str, int] | None


def scaled_sigmoid(position: float) -> float:
    """Return what an alert is worth: near 1 at a window's beginning (-1), 0 at its end (0), -1 from far behind it (3).

    Examples
    --------
    >>> round(scaled_sigmoid(-1.0), 3), scaled_sigmoid(0.0), scaled_sigmoid(3.5)
    (0.987, 0.0, -1.0)

    """
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def n_probation(n_rows: int) -> int:
    """Return how many rows at the beginning are not scored."""
    return math.ceil(min(math.floor(PROBATION_SHARE * n_rows), PROBATION_SHARE * PROBATION_ROWS))


def marks(files: Iterable[Marked]) -> dict[str, float]:
    """Return the normalised mark by profile: 100 for a perfect detector, 0 for one that never alerts.

    Raises
    ------
    ValueError
        If no file has a labelled window: then nothing can be normalised.

    """
    files = list(files)
    n_windows = sum(len(one.windows) for one in files)
    if not n_windows:
        raise ValueError("no labelled windows in any file")
    points = [point for one in files for point in _points(one)]
    # the reward of a window that ends in probation cannot be had, but counts in NAB's perfect score
    return {name: 100 * (_best(points, profile) / n_windows + profile.false_negative) / (profile.true_positive + profile.false_negative)
            for name, profile in PROFILES.items()}


def _points(one: Marked) -> Iterator[_Point]:
    """Yield the scored rows of a file."""
    starts = {start: i for i, (start, _) in enumerate(one.windows)}
    index: dict[str, int] = {}
    for i, time in enumerate(one.times):
        index.setdefault(time, i)
    inside: int | None = None
    last, width = 0, 0
    """Of the window that is open, or the one before: row of its end, and rows in it."""
    seen = False
    skipped = n_probation(len(one.times))
    for i, (time, score) in enumerate(zip(one.times, one.scores, strict=True)):
        if inside is None and time in starts:
            inside = starts.pop(time)
            end = one.windows[inside][1]
            last, width = index[end], index[end] - index[one.windows[inside][0]] + 1
            seen = True
        if inside is not None:
            value = scaled_sigmoid(-(last - i + 1) / width) / scaled_sigmoid(-1.0)
        else:
            value = scaled_sigmoid((i - last) / (width - 1)) if seen else -1.0
        if i >= skipped:
            yield _Point(score, value, None if inside is None else (one.name, inside))
        if inside is not None and time == one.windows[inside][1]:
            last, inside = i, None


def _best(points: Sequence[_Point], profile: Profile) -> float:
    """Return the best total over all thresholds."""
    best_in_window: dict[tuple[str, int], float] = {
        point.window: -profile.false_negative for point in points if point.window is not None
    }
    total = sum(best_in_window.values())
    best = total
    descending = sorted(points, key=lambda point: point.score, reverse=True)
    for _, level in groupby(descending, key=lambda point: point.score):
        for point in level:
            if point.window is None:
                total += point.value * profile.false_positive
            elif (value := point.value * profile.true_positive) > best_in_window[point.window]:
                total += value - best_in_window[point.window]
                best_in_window[point.window] = value
        best = max(best, total)
    return best

