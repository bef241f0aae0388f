"""Has this series ever been here before? Four questions about the newest point, and one number."""

import math
from array import array
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

import msgspec
from river.base import AnomalyDetector

from models.detector import Features
from models.errors import ModelStateError, number, numbers, reading
from models.float32 import LARGEST, as_float32, from_bytes, to_bytes
from models.nearest_values import NearestValues
from models.shapes import SPAN, Shapes
from models.tail_calibration import FIRST_FIT, TailCalibration
from models.time_of_day import TimeOfDay

N_VALUES = 4000
"""Two weeks of five minutes."""
N_SHAPES = 700
READY = FIRST_FIT
_DELAY = 2
"""Points until a value is remembered: what just began is not yet known."""
_EXTREME_MARGIN = 0.05
_EXTREME_DECADES = 3.0
_N_INTERVALS = 31
_USUAL_INTERVAL_S = 300.0
_LEAST_INTERVAL_S, _MOST_INTERVAL_S = 60.0, 86_400.0


class Novelty(msgspec.Struct, frozen=True, gc=False):
    """What one point looks like.

    Attributes
    ----------
    score
        High is anomalous: about the mean of the terms, larger for series that are read more seldom; ``None`` until ready.
    terms
        By name, how rare in powers of ten: 4.5 is 1 in 30,000; empty until ready.

    """

    score: float | None
    terms: dict[str, float]


class Usual(NamedTuple):
    """What a series usually is: at this hour (in the middle, where the hour is not known), 99 % of the time, and at all."""

    expected: float
    lower: float
    upper: float
    least: float
    most: float


class Look(msgspec.Struct, frozen=True, gc=False):
    """One point, and everything that was reckoned from it before anything is learned."""

    time_s: float
    first: float
    x: float
    """Less the series' first value, which is ``first``."""
    pair: float
    triple: float
    """Means of the last two and three values."""
    level: float
    distances: tuple[float, float, float]
    novelty: Novelty


class NoveltyDetector(AnomalyDetector):
    """Scores a point of a series by how far it, and the curve that leads to it, is from all that was seen in two weeks.

    Features: ``value``, and ``time_s`` (epoch seconds). Four terms, each as a power of ten of its rarity on this series:
    the distance to the nearest values, the distance of the last two hours' curve to the nearest curves, the distance to
    the usual level at this time of day, and whether the value is outside of the range seen so far by 5 % of it. It reads
    rollups of five minutes: with windows of ten seconds its memory would span an hour. A level that rises slowly is no
    news; nor is an outage that it has learned: call :meth:`watch_one` while a service is in trouble.

    Notes
    -----
    One fixed configuration. Memory 60 kB a series, snapshot 32 kB (4000 values, 700 shapes, three tails, 32-bit); time
    about 15 us a point; 100 points until ready, and a day until the time of day says something. No randomness.

    References
    ----------
    .. [1] A. Lavin, S. Ahmad, *Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark*, 2015,
       https://arxiv.org/abs/1510.03336 (what it is measured on: `make bench-nab`)

    Examples
    --------
    >>> detector = NoveltyDetector()
    >>> detector.score_one({"value": 1.0, "time_s": 0.0}) is None
    True
    >>> for i in range(600):
    ...     detector.learn_one({"value": 10 + i % 12, "time_s": 300.0 * i})
    >>> usual, odd = ({"value": value, "time_s": 300.0 * 600} for value in (10, 30))
    >>> round(detector.score_one(usual), 1), round(detector.score_one(odd), 1)
    (0.2, 3.2)
    >>> {term: round(decades, 1) for term, decades in detector.explain_one(odd).items()}
    {'value_never_seen': 5.2, 'shape_never_seen': 1.7, 'wrong_for_this_hour': 2.8, 'new_extreme': 3.0}

    """

    def __init__(self) -> None:
        self.n_seen = 0
        """Points learned."""
        self._first = 0.0
        self._last: tuple[float, ...] = ()
        """The last two values, newest first, less the first."""
        self._pending: tuple[float, ...] = ()
        """Means of two that are not remembered yet, oldest first."""
        self._n_unsettled = 0
        """How many of the next points are learned from with care, because they follow watched ones."""
        self._low = self._high = 0.0
        self._last_s: float | None = None
        self._intervals = array("f")
        """The last 31 intervals between points, seconds; the next goes to ``_n_intervals`` modulo 31."""
        self._n_intervals = 0
        self._seldom = 0.0
        """What is added for a series whose points come more seldom than every five minutes, or less."""
        self._values = NearestValues(N_VALUES)
        self._shapes = Shapes(N_SHAPES)
        self._hours = TimeOfDay()
        self._tails = (TailCalibration(), TailCalibration(), TailCalibration())

    @property
    def is_ready(self) -> bool:
        """Whether a score means something."""
        return self._tails[0].n >= READY

    def score_one(self, x: Features) -> float | None:  # type: ignore[override] # river knows no score that is missing
        """Return how novel ``x`` is, high is anomalous; ``None`` until ready. Nothing changes.

        Raises
        ------
        KeyError
            If ``x`` lacks ``value`` or ``time_s``.
        ValueError
            If one of them is not a finite number.

        """
        return self.look_one(x).novelty.score

    def explain_one(self, x: Features) -> dict[str, float]:
        """Return the terms of the score of ``x`` (see :class:`Novelty`); empty until ready. Nothing changes."""
        return self.look_one(x).novelty.terms

    def learn_one(self, x: Features) -> None:  # type: ignore[override] # river wants a dict; a mapping is enough
        """Take ``x`` for the newest point, and for normal."""
        self._learn(self.look_one(x))

    def step_one(self, x: Features) -> Novelty:
        """Score, explain and learn in one pass."""
        look = self.look_one(x)
        self._learn(look)
        return look.novelty

    def watch_one(self, x: Features) -> Novelty:
        """Score and explain, and make ``x`` the newest point without taking it for normal: while the service is in trouble.

        A second outage of the same shape then scores like the first. Nor is anything learned from the 22 points
        after the last one that was watched, but the level at this hour: their curves still hold some of it.
        """
        look = self.look_one(x)
        self.take_one(look, is_normal=False)
        return look.novelty

    def take_one(self, look: Look, *, is_normal: bool) -> None:
        """Make the point of :meth:`look_one` the newest one: learned as normal, or as :meth:`watch_one` does."""
        if is_normal:
            self._learn(look)
        elif self.n_seen:
            self._advance(look)
            self._shapes.follow(look.triple)
            self._pending = ()
            self._n_unsettled = SPAN + 1

    def usual_at(self, time_s: float) -> "Usual | None":
        """Return what is usual in the series, at this time (epoch seconds) above all; ``None`` before there is anything."""
        middle, lower, upper = (self._values.at_share(share) for share in (0.5, 0.005, 0.995))
        least, most = self._values.at_share(0.0), self._values.at_share(1.0)
        if middle is None or lower is None or upper is None or least is None or most is None:
            return None
        at_hour = self._hours.usual(time_s)
        expected = middle if at_hour is None else at_hour
        return Usual(*(self._first + x for x in (expected, lower, upper, least, most)))

    def look_one(self, features: Features) -> Look:
        """Return what a point looks like, from which it can be learned afterwards. Nothing changes."""
        value, time_s = features["value"], features["time_s"]
        if not math.isfinite(value + time_s):
            raise ValueError(f"value and time_s must be finite, got {value} and {time_s}")
        first = self._first if self.n_seen else value
        x = value - first
        if not -LARGEST < x < LARGEST:
            x = math.copysign(LARGEST, x)
        pair, triple = _means(x, self._last)
        level = self._hours.level_with(x)
        distances = (self._values.distance(pair), self._shapes.distance(triple), self._hours.residual(level, time_s))
        return Look(time_s, first, x, pair, triple, level, distances, self._novelty(x, distances))

    def _novelty(self, x: float, distances: tuple[float, float, float]) -> Novelty:
        width = self._high - self._low
        least = 1e-7 * width + 1e-12
        values, shapes, hours = self._tails
        by_value = values.decades(distances[0], least)
        by_shape = shapes.decades(distances[1], least)
        by_hour = hours.decades(distances[2], least)
        if by_value is None or by_shape is None or by_hour is None:
            return Novelty(None, {})
        margin = _EXTREME_MARGIN * width
        extreme = _EXTREME_DECADES if not self._low - margin <= x <= self._high + margin else 0.0
        score = (by_value + by_shape + by_hour + extreme) / 4 + self._seldom
        terms = {"value_never_seen": by_value, "shape_never_seen": by_shape, "wrong_for_this_hour": by_hour, "new_extreme": extreme}
        return Novelty(score, terms)

    def _learn(self, look: Look) -> None:
        self._first = look.first
        self.n_seen += 1
        if self._n_unsettled:
            self._n_unsettled -= 1
            self._shapes.follow(look.triple)
        else:
            self._remember(look)
        if look.x > self._high:
            self._high = look.x
        elif look.x < self._low:
            self._low = look.x
        self._hours.learn(look.level, look.time_s)
        self._advance(look)

    def _remember(self, look: Look) -> None:
        """Put the point, or what is old enough by now, into the memories."""
        values, shapes, hours = self._tails
        values.learn(look.distances[0])
        shapes.learn(look.distances[1])
        hours.learn(look.distances[2])
        self._shapes.add(look.triple)
        pending = self._pending
        if len(pending) == _DELAY:
            oldest, newer = pending
            self._values.add(oldest)
            self._pending = (newer, look.pair)
        else:
            self._pending = (*pending, look.pair)

    def _advance(self, look: Look) -> None:
        """Make the point the newest one."""
        last = self._last
        self._last = (look.x, last[0]) if last else (look.x,)
        time_s, last_s = look.time_s, self._last_s
        self._last_s = time_s
        if last_s is not None and time_s > last_s:
            interval_s = time_s - last_s
            i = self._n_intervals % _N_INTERVALS
            if i < len(self._intervals) and self._intervals[i] == interval_s:
                self._n_intervals += 1  # nearly always: nothing else changes
            else:
                self._take_interval(float(round(min(interval_s, _MOST_INTERVAL_S))))

    def _take_interval(self, interval_s: float) -> None:
        intervals = self._intervals
        i = self._n_intervals % _N_INTERVALS
        self._n_intervals += 1
        if i == len(intervals):
            intervals.append(interval_s)
        elif interval_s == intervals[i]:
            return
        else:
            intervals[i] = interval_s
        usual_s = max(_LEAST_INTERVAL_S, median(intervals))
        self._seldom = 0.5 * math.log10(usual_s / _USUAL_INTERVAL_S)

    def to_state(self) -> dict[str, Any]:
        """Return the state as plain, versioned data and bytes: what MessagePack holds as it is, and JSON as base64."""
        return {
            "kind": "novelty",
            "v": 1,
            "n_seen": self.n_seen,
            "first": self._first,
            "last": list(self._last),
            "n_unsettled": self._n_unsettled,
            "pending": list(self._pending),
            "range": [self._low, self._high],
            "last_s": [] if self._last_s is None else [self._last_s],
            "intervals": to_bytes(self._intervals),
            "n_intervals": self._n_intervals,
            "seldom": self._seldom,
            "values": self._values.to_state(),
            "shapes": self._shapes.to_state(),
            "hours": self._hours.to_state(),
            "tails": [tail.to_state() for tail in self._tails],
        }

    def from_state(self, state: Mapping[str, Any]) -> "NoveltyDetector":
        """Take the state over, and return the detector itself; on an error it is of no further use.

        Raises
        ------
        ModelStateError
            If ``state`` is of another version, or incomplete.

        """
        with reading(state, "novelty", 1):
            self.n_seen, self._first, self._seldom = int(state["n_seen"]), number(state["first"]), number(state["seldom"])
            self._last, self._pending = numbers(state["last"][:2]), numbers(state["pending"][:_DELAY])
            self._n_unsettled = int(state["n_unsettled"])
            self._low, self._high = numbers(state["range"])
            self._last_s = number(state["last_s"][0]) if state["last_s"] else None
            self._intervals, self._n_intervals = from_bytes(state["intervals"])[:_N_INTERVALS], int(state["n_intervals"])
            self._values.from_state(state["values"])
            self._shapes.from_state(state["shapes"])
            self._hours.from_state(state["hours"])
            for tail, held in zip(self._tails, state["tails"], strict=True):
                tail.from_state(held)
        return self

    def to_bytes(self) -> bytes:
        """Return the state as MessagePack."""
        return msgspec.msgpack.encode(self.to_state())

    def from_bytes(self, data: bytes) -> "NoveltyDetector":
        """Take the state of :meth:`to_bytes` over, and return the detector itself.

        Raises
        ------
        ModelStateError
            If it cannot be read.

        """
        try:
            state = msgspec.msgpack.decode(data, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise ModelStateError(f"not a snapshot: {problem}") from problem
        return self.from_state(state)

    def __getstate__(self) -> dict[str, Any]:  # river copies estimators; a view into an array must not be copied as an array
        return self.to_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        NoveltyDetector.__init__(self)  # an object that is being copied was not made by its class
        self.from_state(state)


def _means(x: float, last: tuple[float, ...]) -> tuple[float, float]:
    """Return the means of the last two and three values (of fewer at the beginning), the first as its memory holds it."""
    if len(last) == 2:
        pair, triple = (x + last[0]) / 2, (x + last[0] + last[1]) / 3
    elif last:
        pair = triple = (x + last[0]) / 2
    else:
        pair = triple = x
    return as_float32(pair), triple


def one_in(decades: float) -> int:
    """Return n of "1 in n" for a rarity in powers of ten, to one digit.

    Examples
    --------
    >>> one_in(4.5), one_in(0.3)
    (30000, 2)

    """
    return round(round(10**decades), -math.floor(decades))
