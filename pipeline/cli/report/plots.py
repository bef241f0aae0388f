"""One series as inline SVG: value, expected band, score, and what happened to it meanwhile."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.analyse.wording import RATIO_UNITS
from pipeline.backtest.series import Buckets, Floats, Span
from pipeline.cli.report.markup import element, number, text
from pipeline.cli.report.scales import Scale, time_ticks, value_range, value_ticks
from pipeline.cli.wording import amount, safe

LEFT, RIGHT, TOP, AXIS = 62.0, 8.0, 6.0, 16.0
SCORE_HEIGHT, GAP = 26.0, 6.0
LEAST_SCORE, MOST_SCORE = 6.0, 40.0
"""Half the height of the score strip is the largest score, within these."""
MAX_CARETS, CARET_HEIGHT = 80, 4.0
Flags = NDArray[np.bool_]


class Mark(StrEnum):
    """What is drawn over a stretch of time; the names are classes of the style sheet."""

    FOUND = "found"
    MISSED = "missed"
    UNSCORED = "unscored"
    HARMLESS = "harmless"
    LEARNING = "learning"
    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that lasted: what, from when to when (UTC epoch ms), and what is told of it, as plain text."""

    mark: Mark
    start_ms: int
    end_ms: int
    told: str

    @property
    def is_alert(self) -> bool:
        """It is a bar at the bottom, not a field behind everything."""
        return self.mark in (Mark.PAGE, Mark.TICKET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How large a plot is, in its own units, axis and score strip included."""

    width: float = 1000.0
    height: float = 168.0

    @property
    def right(self) -> float:
        """Right edge of the drawing."""
        return self.width - RIGHT

    @property
    def bottom(self) -> float:
        """Bottom of the values."""
        return self.height - AXIS - SCORE_HEIGHT - GAP


def plot(buckets: Buckets, span: Span, events: Sequence[Event], *, unit: str, told: str, frame: Frame) -> str:
    """Return the plot of a series.

    Parameters
    ----------
    buckets
        What is drawn.
    span
        The time axis.
    events
        In the order in which they are drawn.
    unit
        Of the values.
    told
        What the plot shows, for those who cannot see it; plain text.
    frame
        Its size.

    """
    times = Scale(low=span.start_ms, high=max(span.end_ms, span.start_ms + 1), start=LEFT, end=frame.right)
    shown = [event for event in events if event.end_ms >= span.start_ms and event.start_ms <= span.end_ms]
    low, high = value_range(
        np.concatenate([buckets.low, buckets.high]),
        np.concatenate([buckets.lower, buckets.upper]),
        _notable(buckets, [event for event in shown if event.mark not in (Mark.HARMLESS, Mark.LEARNING)]),
    )
    values = Scale(low=low, high=high, start=frame.bottom, end=TOP)
    xs = _middles(buckets, times)
    has_band = ~(np.isnan(buckets.lower) & np.isnan(buckets.upper))
    parts = [
        *(_field(event, times, frame) for event in shown if not event.is_alert),
        _grid(times, values, span, unit, frame),
        _area("band", xs, _drawn(buckets.lower, values, low), _drawn(buckets.upper, values, high), has_band),
        _line("expected", xs, _drawn(buckets.expected, values)),
        _area("value", xs, _drawn(buckets.low, values), _drawn(buckets.high, values), ~np.isnan(buckets.high)),
        _carets(xs, buckets, values),
        _score(xs, buckets.score, frame),
        *(_bar(event, times, frame) for event in shown if event.is_alert),
    ]
    return element(
        "svg",
        "".join(parts),
        class_="plot",
        viewBox=f"0 0 {number(frame.width)} {number(frame.height)}",
        role="img",
        aria_label=safe(told),
        data_t=f"{span.start_ms} {span.end_ms}",
        data_v=f"{low:.6g} {high:.6g}",
        data_y=f"{number(frame.bottom)} {number(TOP)}",
        data_s=f"{_score_limit(buckets.score):.6g}",
        data_u=safe(unit),
    )


def _middles(buckets: Buckets, times: Scale) -> Floats:
    middles: Floats = buckets.span.start_ms + (np.arange(len(buckets.low), dtype=np.float64) + 0.5) * buckets.width_ms
    return _drawn(middles, times)


def _drawn(values: Floats, scale: Scale, missing: float = np.nan) -> Floats:
    filled = np.where(np.isnan(values), missing, values)
    shares: Floats = (np.clip(filled, scale.low, scale.high) - scale.low) / (scale.high - scale.low)
    drawn: Floats = scale.start + shares * (scale.end - scale.start)
    return drawn


def _notable(buckets: Buckets, events: Iterable[Event]) -> Floats:
    edges = buckets.span.start_ms + np.arange(len(buckets.low) + 1) * buckets.width_ms
    is_in = np.zeros(len(buckets.low), dtype=bool)
    for event in events:
        is_in |= (edges[:-1] <= event.end_ms) & (edges[1:] >= event.start_ms)
    return np.concatenate([buckets.low[is_in], buckets.high[is_in]])


def _field(event: Event, times: Scale, frame: Frame) -> str:
    start = times.at(event.start_ms)
    width = max(times.at(event.end_ms) - start, 1.5)
    title = element("title", text(event.told))
    bottom = frame.height - AXIS
    return element("rect", title, class_=event.mark.value, x=start, y=TOP, width=width, height=bottom - TOP)


def _bar(event: Event, times: Scale, frame: Frame) -> str:
    start = times.at(event.start_ms)
    width = max(times.at(event.end_ms) - start, 3.0)
    title = element("title", text(event.told))
    line = element("line", x1=start, x2=start, y1=TOP, y2=frame.height - AXIS)
    bar = element("rect", x=start, y=frame.bottom, width=width, height=GAP - 1)
    return element("g", title + line + bar, class_=event.mark.value)


def _grid(times: Scale, values: Scale, span: Span, unit: str, frame: Frame) -> str:
    parts = []
    shown_unit = unit if unit == "ms" or unit in RATIO_UNITS else ""  # others stand in the title
    for value in value_ticks(values.low, values.high):
        y = values.at(value)
        parts.append(element("line", x1=LEFT, x2=frame.right, y1=y, y2=y))
        parts.append(element("text", text(amount(value, shown_unit)), x=LEFT - 6, y=y + 3, text_anchor="end"))
    n = max(3, int(frame.width / 125))
    for at_ms, shown in time_ticks(span.start_ms, span.end_ms, n):
        x = times.at(at_ms)
        anchor = "end" if x > frame.right - 14 else "middle"
        parts.append(element("line", x1=x, x2=x, y1=TOP, y2=frame.height - AXIS))
        parts.append(element("text", shown, x=x, y=frame.height - 4, text_anchor=anchor))
    parts.append(element("text", "score", x=LEFT - 6, y=frame.height - AXIS - SCORE_HEIGHT / 2 + 3, text_anchor="end"))
    return element("g", "".join(parts), class_="grid")


def _area(kind: str, xs: Floats, lows: Floats, highs: Floats, known: Flags) -> str:
    """Return the area between two lines, a piece for each run of buckets that are known."""
    pieces = []
    for run in _runs(known):
        there = _thinned([(float(xs[i]), float(highs[i])) for i in run])
        back = _thinned([(float(xs[i]), float(lows[i])) for i in reversed(run)])
        pieces.append(_path([*there, *back]) + "Z")
    return element("path", class_=kind, d="".join(pieces)) if pieces else ""


def _line(kind: str, xs: Floats, ys: Floats) -> str:
    pieces = [_path(_thinned([(float(xs[i]), float(ys[i])) for i in run])) for run in _runs(~np.isnan(ys))]
    return element("path", class_=kind, d="".join(pieces)) if pieces else ""


def _score(xs: Floats, scores: Floats, frame: Frame) -> str:
    limit = _score_limit(scores)
    bottom = frame.height - AXIS
    scale = Scale(low=-limit, high=limit, start=bottom, end=bottom - SCORE_HEIGHT)
    zero = np.full(len(scores), scale.at(0.0))
    base = element("line", x1=LEFT, x2=frame.right, y1=scale.at(0.0), y2=scale.at(0.0), class_="zero")
    return base + _area("score", xs, zero, _drawn(scores, scale), ~np.isnan(scores))


def _score_limit(scores: Floats) -> float:
    known = np.abs(scores[np.isfinite(scores)])
    return min(MOST_SCORE, max(LEAST_SCORE, float(known.max()))) if len(known) else LEAST_SCORE


def _carets(xs: Floats, buckets: Buckets, values: Scale) -> str:
    """Return a small mark at the top where a value is higher than what is shown."""
    cut = np.flatnonzero(np.nan_to_num(buckets.high, nan=-np.inf) > values.high)[:MAX_CARETS]
    drawn = "".join(
        f"M{number(float(xs[i]) - 2.5)},{number(TOP)}l2.5,-{number(CARET_HEIGHT)} 2.5,{number(CARET_HEIGHT)}Z" for i in cut
    )
    return element("path", class_="over", d=drawn) if drawn else ""


def _runs(known: Flags) -> list[list[int]]:
    """Return the stretches without a gap; one bucket alone is no gap."""
    at = np.flatnonzero(known)
    if not len(at):
        return []
    cuts = np.flatnonzero(np.diff(at) > 2) + 1
    return [some.tolist() for some in np.split(at, cuts)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points without those between two others at the same height."""
    kept = points[:1]
    for before, point, after in zip(points, points[1:], points[2:], strict=False):
        if not (abs(before[1] - point[1]) < 0.05 and abs(point[1] - after[1]) < 0.05):
            kept.append(point)
    return kept + points[-1:] if len(points) > 1 else kept


def _path(points: Sequence[tuple[float, float]]) -> str:
    first, *rest = (f"{number(x)},{number(y)}" for x, y in points)
    return f"M{first}" + (f"L{' '.join(rest)}" if rest else "")
