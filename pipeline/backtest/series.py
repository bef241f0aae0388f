"""Every finding of a long run, kept on disk, and reduced to what a plot can show: decides how windows become buckets."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.keys import service_key

_POINT = struct.Struct("<Iq5f")
_TYPE = np.dtype(
    [
        ("series", "<u4"), ("end_ms", "<i8"), ("observed", "<f4"), ("expected", "<f4"),
        ("lower", "<f4"), ("upper", "<f4"), ("score", "<f4"),
    ]
)  # fmt: skip
_MISSING = float("nan")
_LARGEST = 3e38
_BLOCK = 262_144
MAX_SERIES = 100_000
"""Further series are not kept."""
Floats = NDArray[np.float64]


class SeriesKey(NamedTuple):
    """What a series is of."""

    service_key: str
    condition: str


@dataclass(slots=True)
class SeriesInfo:
    """What is known of a series without its points.

    Attributes
    ----------
    size_ms
        Length of its windows, the largest if that changed.
    is_shadow
        It is published for comparison, and alerts nobody.

    """

    number: int
    unit: str
    size_ms: int
    is_shadow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, UTC epoch ms."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A series over a span, in buckets of equal length; ``nan`` where a bucket has nothing.

    Attributes
    ----------
    low, high
        Of the observed values.
    lower, upper, expected
        The widest band, and the middle of what was expected.
    score
        The one furthest from 0.

    """

    span: Span
    low: Floats
    high: Floats
    lower: Floats
    upper: Floats
    expected: Floats
    score: Floats

    @property
    def width_ms(self) -> float:
        """Length of a bucket, ms."""
        return (self.span.end_ms - self.span.start_ms) / len(self.low)


class SeriesLog:
    """Findings in the order of their windows, 32 bytes each, in a file; memory O(series)."""

    def __init__(self, file: IO[bytes]) -> None:
        self.info: dict[SeriesKey, SeriesInfo] = {}
        self.n_not_kept = 0
        self._file = file

    def take(self, verdict: Verdict) -> None:
        """Keep what a verdict says; a finding without a value and a score says nothing."""
        key = service_key(verdict.environment, verdict.service)
        for finding in verdict.findings:
            if finding.observed is not None and finding.judgement is not Judgement.NO_DATA:
                self._keep(SeriesKey(key, finding.condition), finding, verdict)

    def _keep(self, key: SeriesKey, finding: Finding, verdict: Verdict) -> None:
        info = self.info.get(key)
        if info is None:
            if len(self.info) >= MAX_SERIES:
                self.n_not_kept += 1
                return
            info = self.info[key] = SeriesInfo(number=len(self.info), unit=finding.unit, size_ms=0, is_shadow=verdict.shadow)
        info.size_ms = max(info.size_ms, verdict.window_end_ms - verdict.window_start_ms)
        values = (finding.observed, finding.expected, finding.lower, finding.upper, finding.score)
        self._file.write(_POINT.pack(info.number, verdict.window_end_ms, *(_stored(value) for value in values)))

    def buckets(self, wanted: Mapping[SeriesKey, Sequence[Span]], n_buckets: int) -> dict[tuple[SeriesKey, Span], Buckets]:
        """Return each wanted series over each of its spans, in about ``n_buckets`` of whole windows at most.

        Reads the file once; memory O(wanted spans).
        """
        parts_by_number: dict[int, list[_Part]] = {}
        found: dict[tuple[SeriesKey, Span], _Part] = {}
        for key, spans in wanted.items():
            info = self.info[key]
            for span in spans:
                part = found[key, span] = _Part(*_cut(span, info.size_ms, n_buckets))
                parts_by_number.setdefault(info.number, []).append(part)
        for number, points in self._by_series(np.array(sorted(parts_by_number), dtype="<u4")):
            for part in parts_by_number[number]:
                part.take(points)
        return {place: part.result() for place, part in found.items()}

    def _by_series(self, numbers: NDArray[np.uint32]) -> Iterator[tuple[int, NDArray[Any]]]:
        self._file.seek(0)
        while block := self._file.read(_BLOCK * _POINT.size):
            points = np.frombuffer(block, dtype=_TYPE)
            points = points[np.isin(points["series"], numbers)]
            points = points[np.argsort(points["series"], kind="stable")]
            starts = np.flatnonzero(np.diff(points["series"], prepend=-1))
            for some in np.split(points, starts[1:]):
                if len(some):
                    yield int(some["series"][0]), some
        self._file.seek(0, 2)


class _Part:
    """One span of one series while it is filled."""

    def __init__(self, span: Span, n: int) -> None:
        self.span = span
        self._low, self._high, self._lower, self._upper = (np.full(n, np.nan) for _ in range(4))
        self._most, self._least = np.full(n, np.nan), np.full(n, np.nan)
        self._expected, self._n = np.zeros(n), np.zeros(n)

    def take(self, points: NDArray[Any]) -> None:
        """Fold points of the series in; those outside the span are left out."""
        start_ms, end_ms = self.span.start_ms, self.span.end_ms
        points = points[(points["end_ms"] > start_ms) & (points["end_ms"] <= end_ms)]
        if not len(points):
            return
        n = len(self._low)
        at = np.minimum((points["end_ms"] - start_ms - 1) * n // (end_ms - start_ms), n - 1)
        for whole, ufunc, name in (
            (self._low, np.fmin, "observed"), (self._high, np.fmax, "observed"), (self._lower, np.fmin, "lower"),
            (self._upper, np.fmax, "upper"), (self._least, np.fmin, "score"), (self._most, np.fmax, "score"),
        ):  # fmt: skip
            ufunc.at(whole, at, points[name].astype(np.float64))
        known = np.isfinite(points["expected"])
        np.add.at(self._expected, at[known], points["expected"][known].astype(np.float64))
        np.add.at(self._n, at[known], 1)

    def result(self) -> Buckets:
        """Return the span as buckets."""
        expected = np.divide(self._expected, self._n, out=np.full(len(self._n), np.nan), where=self._n > 0)
        score = np.where(np.abs(self._least) > np.abs(self._most), self._least, self._most)
        return Buckets(
            span=self.span, low=self._low, high=self._high, lower=self._lower, upper=self._upper, expected=expected, score=score
        )


def _cut(span: Span, size_ms: int, n_buckets: int) -> tuple[Span, int]:
    """Return the span widened to whole buckets of whole windows, and how many those are."""
    size_ms = max(1, size_ms)
    start_ms = span.start_ms // size_ms * size_ms
    n_windows = max(1, -(-(span.end_ms - start_ms) // size_ms))
    n = -(-n_windows // -(-n_windows // n_buckets))
    return Span(start_ms=start_ms, end_ms=start_ms + n * -(-n_windows // n_buckets) * size_ms), n


def _stored(value: float | None) -> float:
    return _MISSING if value is None else max(-_LARGEST, min(_LARGEST, value))
