"""What decides how a service's detectors see time and risk: durations become counts of windows here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.budget import TailThreshold
from models.scales import BLOCK, COARSE, COARSE_FROM, Scale
from models.variability import Variability

DAY_S = 86_400.0
_SETTLED_S = 1200.0
"""Trouble that grows is seen by the sums of twenty minutes at the latest, or it is none; in seconds, because so it is for windows
of any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Clocks and budgets shared by the detectors of one service.

    Attributes
    ----------
    window_s
        Length of the service's window, seconds, above 0.
    scales
        Windows summed, ascending: 1, 6, multiples of 6 below 120, and multiples of 30.
    ready_windows
        Windows to learn from before anything is judged, at least 1.
    false_alarms_per_day, false_pages_per_day
        Nominal budget of one service, shared by its ``n_tests`` tests, above 0.
    n_tests
        Among how many tests the budget is shared, at least 1.
    level_s, variability_s, tail_s
        Memory of levels, of learned variability and of score tails, seconds, above 0.
    alone_s
        A window at least so long is a proof by itself, seconds.

    """

    window_s: float
    scales: tuple[int, ...] = (1, 6, 30, 120)
    ready_windows: int = 120
    false_alarms_per_day: float = 0.15
    false_pages_per_day: float = 0.001
    n_tests: int = 20
    level_s: float = 8 * 3600.0
    variability_s: float = 2 * DAY_S
    tail_s: float = 7 * DAY_S
    alone_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        ValueError
            If a number is out of its range.

        """
        for name in ("window_s", "false_alarms_per_day", "false_pages_per_day", "level_s", "variability_s", "tail_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.ready_windows < 1 or self.n_tests < 1:
            raise ValueError("ready_windows and n_tests must be at least 1")
        if list(self.scales) != sorted(set(self.scales)) or not all(_is_scale(k) for k in self.scales):
            raise ValueError(f"scales must ascend and be 1, multiples of 6, or from 120 on of 30, got {self.scales}")

    def windows(self, seconds: float) -> float:
        """Return how many windows a duration is, at least 1."""
        return max(1.0, seconds / self.window_s)

    @property
    def needs_two(self) -> bool:
        """Whether one window is too short to be a proof by itself."""
        return self.window_s < self.alone_s

    @property
    def settle_windows(self) -> int:
        """After how many normal windows without an alarm a tail counts what came before them."""
        return round(self.windows(_SETTLED_S))

    def make_scales(self, ks: Sequence[int], prior: float, floor: float) -> list[Scale]:
        """Return fresh scales of ``ks`` windows, each with its share of the budget: longer ones are judged less often.

        ``prior`` and ``floor`` are those of the learned variability.
        """
        return [
            Scale(
                k,
                Variability(self.windows(self.variability_s), prior, floor),
                TailThreshold(_budgets(self, k), memory=self.windows(self.tail_s), prior_windows=self._prior_windows),
            )
            for k in ks
        ]

    @property
    def _prior_windows(self) -> float:
        return min(1000.0, self.windows(DAY_S))


@lru_cache(maxsize=256)
def _budgets(tuning: Tuning, k: int) -> tuple[float, ...]:
    """Return the probabilities of a false ticket and a false page a judgement; one tuple for all services."""
    share = tuning.window_s / DAY_S / tuning.n_tests * k
    return tuple(min(0.01, budget * share) for budget in (tuning.false_alarms_per_day, tuning.false_pages_per_day))


def _is_scale(k: int) -> bool:
    return k == 1 or (k > 0 and k % (COARSE if k >= COARSE_FROM else BLOCK) == 0)
