"""A detector of ours as river's own tools want one: a number from the first point on, whatever the features."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from river.base import AnomalyDetector

from models.detector import Features


class ScoresAndLearns(Protocol):
    """What the adapter needs: river's two verbs, with ``None`` until ready."""

    def score_one(self, x: Features) -> float | None:
        """Return the score, high is anomalous; ``None`` until ready."""
        ...

    def learn_one(self, x: Features) -> object:
        """Take ``x`` for normal."""
        ...


class RiverAdapter(AnomalyDetector):  # type: ignore[misc] -- river's base is untyped
    """Wraps a detector so that river's pipelines, metrics and estimator checks can use it.

    river knows no score that is missing: until the detector is ready it reads ``until_ready``, which says nothing. And
    river's detectors take whatever features come: ``features`` makes of them, and of how many points were learned, what
    the detector reads.

    Parameters
    ----------
    make
        Makes an untrained detector (a class, or a function), so that clones are untrained.
    features
        Makes the detector's features of river's; the features as they are by default.
    until_ready
        The score until the detector is ready.

    Notes
    -----
    Memory and time: the detector's. Score range: the detector's; high is anomalous.

    Examples
    --------
    >>> from models.novelty import NoveltyDetector
    >>> from river.anomaly import ThresholdFilter
    >>> guarded = ThresholdFilter(RiverAdapter(NoveltyDetector), threshold=1.45)
    >>> for i in range(150):
    ...     guarded.learn_one({"value": 10 + i % 7, "time_s": 300.0 * i})
    >>> guarded.classify(guarded.score_one({"value": 10, "time_s": 45_000.0}))
    False
    >>> guarded.classify(guarded.score_one({"value": 99, "time_s": 45_000.0}))
    True

    """

    def __init__(
        self,
        make: Callable[[], ScoresAndLearns],
        features: Callable[[Mapping[str, Any], int], Features] | None = None,
        until_ready: float = 0.0,
    ) -> None:
        self.make = make
        self.features = features
        self.until_ready = until_ready
        self.detector = make()
        self.n_learned = 0

    def score_one(self, x: dict[Any, Any]) -> float:
        """Return the detector's score, or ``until_ready``."""
        score = self.detector.score_one(self._features(x))
        return self.until_ready if score is None else score

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Hand ``x`` to the detector."""
        self.detector.learn_one(self._features(x))
        self.n_learned += 1

    def _features(self, x: Mapping[str, Any]) -> Features:
        return x if self.features is None else self.features(x, self.n_learned)
