"""Whether a service that says nothing should have spoken: empty windows against how often they are usual."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features, Verbs
from models.errors import number, reading
from models.rarity import rarity_terms
from models.tuning import DAY_S, Tuning

_CHANCE = 1e-5
"""A run of empty windows is news when it is less probable than this."""
_PART_OF_LIFE, _MOSTLY_SILENT = 0.002, 0.999
"""Shares of empty windows."""


class SilenceDetector(Verbs):
    """Runs of empty windows, against their usual share and the longest run that turned out harmless.

    Features: ``is_silent``, 1 for a window without any reading, else 0.

    Notes
    -----
    Memory O(1). Needs at least two empty windows; a service that is often silent needs more, a sparse one (over
    ``longest_run`` needed) is never called silent. Ready after ``ready_windows``.

    Parameters
    ----------
    least_run
        Empty windows in a row that an alert needs at least, 2 or more; judged anomalous one window before, because
        the life cycle confirms.
    longest_run
        A service that would need more is sparse.

    """

    __slots__ = ("_fade", "_least_run", "_longest_harmless", "_longest_run", "_never_silent", "_run", "_share", "_tuning")

    def __init__(self, tuning: Tuning, *, least_run: int, longest_run: int) -> None:
        self._tuning = tuning
        self._least_run, self._longest_run = least_run, longest_run
        self._share = FadingMean(tuning.windows(tuning.variability_s))
        self._longest_harmless = 0.0
        self._run = 0
        self._fade = 1 - 1 / tuning.windows(tuning.tail_s)
        self._never_silent = _never_silent(least_run)

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._share.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self.n_seen >= self._tuning.ready_windows

    @property
    def needed_run(self) -> float:
        """Empty windows in a row that make an alert; infinite for a sparse service."""
        needed = max(float(self._least_run), 2 * self._longest_harmless if self._longest_harmless > 1 else 0.0)
        share = self._share.value
        if share > _PART_OF_LIFE:  # empty windows are part of its life, so chance has a say
            if share >= _MOSTLY_SILENT:
                return math.inf
            needed = max(needed, math.ceil(math.log(_CHANCE) / math.log(share)))
        return needed if needed <= self._longest_run else math.inf

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        is_silent = x["is_silent"] > 0
        if not is_silent and self._share.value == 0.0 and self._longest_harmless == 0.0:
            return self._never_silent
        run = self._run + 1 if is_silent else 0
        needed = self.needed_run
        is_anomalous = is_silent and run >= needed - 1
        return Assessment(
            score=run / (needed - 1) * 5 if needed < math.inf and is_silent else 0.0,
            is_anomalous=is_anomalous,
            is_page=is_anomalous,
            is_quiet=not is_silent,
            observed=float(run),
            expected=0.0,
            lower=0.0,
            upper=math.ceil(min(needed, 1e6) - 1) - 1.0,
            terms={"empty_windows": float(run), "usual_share_empty": self._share.value}
            | (self._rarity(run) if is_anomalous else {}),
        )

    def _rarity(self, run: int) -> dict[str, float]:
        """Return how rare a run is: empty windows by chance, one more of them taken for seen than there were."""
        n = min(self._share.n, self._share.memory)
        chance = ((self._share.value * n + 1) / (n + 2)) ** run
        return rarity_terms(chance, n * self._tuning.window_s / DAY_S, is_above_all=run > self._longest_harmless)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:  # noqa: ARG002 - all detectors take the same
        """Make ``x`` the newest evidence; learn the share, and from a run when it has ended without an alarm."""
        is_silent = x["is_silent"] > 0
        if not (is_silent or self._run or self._share.value or self._longest_harmless):
            self._share.n += is_normal  # nearly every window of nearly every service, and nothing else would change
            return
        if is_normal:
            self._share.update(1.0 if is_silent else 0.0)
            if not is_silent and self._run:
                self._longest_harmless = max(self._longest_harmless, float(self._run))
            self._longest_harmless *= self._fade
        self._run = self._run + 1 if is_silent else 0

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._run = 0

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "silence",
            "v": 1,
            "share": self._share.to_state(),
            "longest_harmless": self._longest_harmless,
            "run": self._run,
        }

    def from_state(self, state: Mapping[str, Any]) -> "SilenceDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "silence", 1):
            self._share.from_state(state["share"])
            self._longest_harmless, self._run = number(state["longest_harmless"]), int(state["run"])
        return self


@lru_cache(maxsize=64)
def _never_silent(least_run: int) -> Assessment:
    """Return what a window of a service that was never silent looks like."""
    return Assessment(
        score=0.0,
        observed=0.0,
        expected=0.0,
        lower=0.0,
        upper=least_run - 2.0,
        terms={"empty_windows": 0.0, "usual_share_empty": 0.0},
    )
