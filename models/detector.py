"""What a detector is: river's two verbs on dict features, an explanation, and a state that survives a restart."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from models.scales import Item, ScaleScore

Features = Mapping[str, float]


class Step(NamedTuple):
    """What one pass over a window gave: the score before it was learned from, and the terms behind it."""

    score: float | None
    explanation: dict[str, float]


class Detector(Protocol):
    """One online detector of one signal; **high scores are anomalous**.

    Score first, then learn: ``score_one``, ``explain_one`` and ``assess`` never change state. The service that owns it
    calls ``assess``, decides with its other detectors whether the window was normal, and hands both to ``take_one``;
    ``score_one``, ``learn_one`` and ``step_one`` are river's verbs on top of these. Bounded memory: see each class.
    """

    @property
    def is_ready(self) -> bool:
        """Whether enough was learned for a score to mean something."""
        ...

    @property
    def n_seen(self) -> int:
        """How many windows it has learned from."""
        ...

    def score_one(self, x: Features) -> float | None:
        """Return how far outside of normal, in standard deviations, high is anomalous; ``None`` until ready."""
        ...

    def learn_one(self, x: Features) -> None:
        """Take ``x`` for normal, and for the newest evidence."""
        ...

    def explain_one(self, x: Features) -> dict[str, float]:
        """Return the named terms behind the score of ``x``; empty until ready."""
        ...

    def step_one(self, x: Features) -> Step:
        """Score, explain and learn in one pass: the same as ``score_one``, ``explain_one`` and ``learn_one`` in turn."""
        ...

    def assess(self, x: Features) -> "Assessment":
        """Return everything that ``x`` looks like, ready or not."""
        ...

    def take_one(self, x: Features, assessment: "Assessment", *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        ...

    def clear(self) -> None:
        """Forget the newest evidence (an alarm was closed), not what was learned."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return the state as plain, versioned data that JSON can hold."""
        ...

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Take the state over, and return the detector itself; on an error it is of no further use.

        Raises
        ------
        ModelStateError
            If ``state`` is of another version, or incomplete.

        """
        ...


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """What a detector makes of one window, before anything is learned from it.

    Attributes
    ----------
    score
        Of the time scale that says most, in standard deviations, signed: above expectation positive.
    is_anomalous, is_page
        Improbable beyond the false-alarm budget *and* larger than the least effect, of a ticket or of a page.
    is_slow
        Only a longer scale says so: the newest window alone would not.
    is_spike
        The newest window alone stands out, and by enough.
    is_abating
        Only the newest window alone says so, and it shows less than the window before it did, by more than two windows
        differ by: it is the end of something, and does not confirm its beginning.
    is_quiet
        The newest window shows nothing: the condition's own recovery rule. What only a longer scale saw has a stricter
        one, :func:`models.scales.settled`.
    observed, expected, lower, upper
        In the detector's own unit, per window, of the time scale that says most; what is anomalous is outside of the band.
    newest_score
        Of the newest window alone, in standard deviations, high is anomalous; 0 where only sums are judged.
    terms
        Named numbers behind the score.
    item, scores
        The evidence itself, so that learning from the same window need not compute it again.

    """

    score: float
    is_anomalous: bool = False
    is_page: bool = False
    is_slow: bool = False
    is_spike: bool = False
    is_abating: bool = False
    is_quiet: bool = True
    observed: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    newest_score: float = 0.0
    terms: dict[str, float] = {}
    item: Item = (0.0, 0.0, 0.0)
    scores: Sequence[ScaleScore] = ()


class Verbs:
    """river's verbs on top of ``assess`` and ``take_one``; the score is that of the assessment."""

    __slots__ = ()

    def score_one(self: Detector, x: Features) -> float | None:
        """See :class:`Detector`."""
        return _told(self, self.assess(x)).score

    def explain_one(self: Detector, x: Features) -> dict[str, float]:
        """See :class:`Detector`."""
        return _told(self, self.assess(x)).explanation

    def learn_one(self: Detector, x: Features) -> None:
        """See :class:`Detector`."""
        self.take_one(x, self.assess(x), is_normal=True)

    def step_one(self: Detector, x: Features) -> Step:
        """See :class:`Detector`."""
        assessment = self.assess(x)
        told = _told(self, assessment)
        self.take_one(x, assessment, is_normal=True)
        return told


class TwoSided(Verbs):
    """The verbs of a detector to which both directions are anomalous: a score is how far outside, whichever way."""

    __slots__ = ()

    def score_one(self: Detector, x: Features) -> float | None:
        """See :class:`Detector`."""
        return _unsigned(Verbs.score_one(self, x))

    def step_one(self: Detector, x: Features) -> Step:
        """See :class:`Detector`."""
        told = Verbs.step_one(self, x)
        return told._replace(score=_unsigned(told.score))


def _told(detector: Detector, assessment: Assessment) -> Step:
    """Return the score and its terms; nothing until the detector is ready."""
    if not detector.is_ready:
        return Step(None, {})
    return Step(assessment.score, dict(assessment.terms))


def _unsigned(score: float | None) -> float | None:
    return None if score is None else abs(score)
