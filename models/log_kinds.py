"""What is remembered of one kind of log lines: how many are usual, the highest count, and what is told of it."""

from dataclasses import dataclass, field
from typing import Any

from models.errors import numbers

_PRIOR_WEIGHT, _PRIOR_SQUARED = 10.0, 0.25
"""How much a count wanders (squared coefficient of variation) until this many windows say otherwise."""


@dataclass(slots=True)
class Level:
    """Mean and variability of a count a window that fade; windows in which nothing came are made up for later."""

    total: float = 0.0
    squares: float = 0.0
    weight: float = 0.0
    at: int = 0
    """Up to which window learned."""

    def after(self, now: int, fade: float) -> None:
        """Take the windows up to ``now`` as empty ones."""
        gap = now - self.at
        if gap > 0:
            left = fade**gap
            self.total *= left
            self.squares *= left
            self.weight = self.weight * left + (1 - left) / (1 - fade)
            self.at = now

    def learn(self, n: float, now: int, fade: float) -> None:
        """Take in the count of window ``now``."""
        self.after(now, fade)
        self.total += n
        self.squares += n * n

    def mean(self) -> float:
        """Return the mean count a window."""
        return self.total / self.weight if self.weight else 0.0

    def variability(self) -> float:
        """Return the squared coefficient of variation beyond chance."""
        mean = self.mean()
        if mean <= 0:
            return _PRIOR_SQUARED
        seen = max(0.0, (self.squares / self.weight - mean * mean - mean) / (mean * mean))
        return (seen * self.weight + _PRIOR_SQUARED * _PRIOR_WEIGHT) / (self.weight + _PRIOR_WEIGHT)

    def to_state(self) -> list[float]:
        """Return plain numbers."""
        return [self.total, self.squares, self.weight, self.at]

    @classmethod
    def of(cls, state: list[float]) -> "Level":
        """Return what plain numbers are of."""
        total, squares, weight, at = numbers(state)
        return cls(total, squares, weight, int(at))


@dataclass(slots=True)
class Kind:
    """One kind of lines; windows are counted by all that were seen (``window``) or learned from (``level.at``)."""

    rank: int = 0
    since: int = 0
    """Learned windows when it was first seen."""
    level: Level = field(default_factory=Level)
    peak: float = 0.0
    peak_at: int = 0
    news_from: int = -1
    """Window in which it was new; -1: it is not."""
    n_news: int = 0
    seen: int = 0
    """Window in which it was seen last."""
    run: float = 0.0
    """Highest count of the jump that goes on; 0: none does."""
    run_from: int = 0
    """Window in which it began."""
    is_harmless: bool = True
    """Nothing else was wrong during that jump."""
    is_rare: bool = False
    """The service seldom brought new kinds when it came."""
    verdict: int = 0
    """Whether it is told that there are many of it: 1 yes, -1 no, the service often brings such kinds, 0 not many yet."""

    def peak_now(self, now: int, fade: float) -> float:
        """Return the highest count, faded since it was seen; ``now`` counts the windows learned from."""
        return self.peak * fade ** max(0, now - self.peak_at)

    def saw(self, count: float, now: int, fade: float) -> None:
        """Take a count for usual: no higher one is known than it, or than what is left of the highest one."""
        self.peak, self.peak_at = max(self.peak_now(now, fade), count), now

    def to_state(self) -> list[Any]:
        """Return plain data."""
        held = [self.rank, self.since, self.peak, self.peak_at, self.news_from, self.n_news, self.seen, self.run]
        return [*held, int(self.is_harmless), int(self.is_rare), self.verdict, self.run_from, self.level.to_state()]

    @classmethod
    def of(cls, state: list[Any]) -> "Kind":
        """Return what plain data is of."""
        rank, since, peak, peak_at, news_from, n_news, seen, run, harmless, rare, verdict, run_from = numbers(state[:-1])
        return cls(
            rank=int(rank),
            since=int(since),
            level=Level.of(state[-1]),
            peak=peak,
            peak_at=int(peak_at),
            news_from=int(news_from),
            n_news=int(n_news),
            seen=int(seen),
            run=run,
            run_from=int(run_from),
            is_harmless=bool(harmless),
            is_rare=bool(rare),
            verdict=int(verdict),
        )
