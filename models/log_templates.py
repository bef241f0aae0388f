"""Which kinds of log lines of a service are new, and which come far more often than they used to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.deviance import count_score
from models.drain import Drain
from models.errors import number, numbers, reading
from models.log_kinds import Kind, Level

WARN, ERROR = 3, 4
"""Ranks of severities: 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 fatal."""
_PRIOR_DAYS = 1.0
"""A service is trusted to have brought nothing new for so long before it was watched."""
_SIGHTS = 4
"""One window's anomaly may come so many times as often as one that lasts."""
_NEWS_SCORE = 5.0
"""Score of a new kind with as many lines as it needs."""
_LEAST_OTHERS = 5.0
"""Harmless lines a window, below which they say nothing about how busy the service is."""


_N_NEW = 4
"""Counts of new kinds: see ``LogTemplates``."""


class Lines(NamedTuple):
    """Lines of a window that say the same: how many, and the rank of the worst severity, which tells kinds apart, too."""

    n: int
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateTuning:
    """Clocks, least effects and bounds.

    Attributes
    ----------
    window_s
        Length of a window, seconds, above 0.
    ready_s
        Learned of a service before new kinds of lines mean anything, and of a kind before its rate does, seconds.
    level_s, peak_s
        Memory of a kind's rate, and of its highest counts, seconds.
    recent_s
        A new kind that was worth telling stays so until it was not seen for so long, seconds.
    calm_s, news_s
        A kind is no longer new when it was not seen for ``calm_s``, or was first seen ``news_s`` ago, seconds. A jump that has
        lasted for ``news_s`` is the new normal.
    least_errors, least_warnings, least_others
        Lines since a kind was first seen, by severity, from which on a new kind is more than one window's anomaly.
    least_share
        ... and of less than warnings, share of all lines of the window.
    rare_per_day
        Of a service that brings more new kinds with many lines a day none is told.
    jump_times, jump_lines
        Least effects of a jump: times the expected count (and the highest one), and lines above it.
    jump_sd
        ... and standard deviations.
    max_kinds
        Kinds of lines kept of a service.

    """

    window_s: float = 10.0
    ready_s: float = 3600.0
    level_s: float = 3600.0
    peak_s: float = 7 * 86_400.0
    recent_s: float = 60.0
    calm_s: float = 300.0
    news_s: float = 8 * 3600.0
    least_errors: int = 3
    least_warnings: int = 5
    least_others: int = 20
    least_share: float = 0.1
    rare_per_day: float = 3.0
    jump_times: float = 5.0
    jump_lines: int = 20
    jump_sd: float = 6.0
    max_kinds: int = 300

    def windows(self, seconds: float) -> int:
        """Return how many windows a duration is, at least 1."""
        return max(1, round(seconds / self.window_s))

    def least(self, rank: int) -> int:
        """Return the lines of a rank that a new kind needs."""
        return self.least_errors if rank >= ERROR else self.least_warnings if rank == WARN else self.least_others


class Told(NamedTuple):
    """What is to be said of one kind of lines.

    ``n`` is the lines in this window; ``n_news`` those since it is new (a jump: 0), ``expected`` the usual count a window;
    ``threshold`` the ``score`` from which on a kind is told, if nobody said that an alarm was false.
    """

    template: str
    rank: int
    n: int
    line: str
    """A masked line of it in this window; empty: there is none."""
    n_news: int = 0
    expected: float = 0.0
    limit: float = 0.0
    score: float = 0.0
    threshold: float = 0.0


class Outcome(NamedTuple):
    """What a window brought: new kinds, and kinds that jumped, the worst and most frequent first."""

    new: list[Told]
    jumped: list[Told]


class LogTemplates:
    """The kinds of log lines of one service.

    Notes
    -----
    Memory: ``max_kinds`` kinds, about 300 bytes each and their words. Time: a walk through the tree for each masked line of a
    window; kinds that are not in it cost nothing.

    Examples
    --------
    >>> templates = LogTemplates(TemplateTuning(ready_s=20))
    >>> for _ in range(3):
    ...     _ = templates.step({"started <*>": Lines(1, 2)})
    >>> [told.template for told in templates.step({"no route to <*>": Lines(4, 4)}).new]
    ['no route to <*>']

    """

    def __init__(self, tuning: TemplateTuning) -> None:
        self._tuning = tuning
        self._drain = Drain(max_groups=tuning.max_kinds)
        self._kinds: dict[int, Kind] = {}
        self._open: dict[int, None] = {}
        """Kinds that are new, or jump."""
        self._n_windows = 0
        self._n_learned = 0
        self._harmless = Level()
        """Lines of less than warnings."""
        self._n_new = [0.0] * _N_NEW
        """New kinds, faded, from when it is ready on: less than warnings, warnings or worse; the same of those with many lines."""
        self._per_day = [0.0] * 4
        """Of these how many a day, before the window at hand."""
        self._fade = 1 - 1 / tuning.windows(tuning.level_s)
        self._peak_fade = 1 - 1 / tuning.windows(tuning.peak_s)
        self._day = tuning.windows(86_400.0)
        self._new_fade = 1 - 1 / (2 * self._day)
        self._ready = tuning.windows(tuning.ready_s)

    @property
    def n_evicted(self) -> int:
        """Kinds that went for want of room."""
        return self._drain.n_evicted

    @property
    def is_ready(self) -> bool:
        """Whether enough was learned for a new kind to mean anything."""
        return self._n_learned >= self._ready

    @property
    def n_learned(self) -> int:
        """Windows learned from."""
        return self._n_learned

    def step(
        self,
        lines: Mapping[str, Lines],
        *,
        is_frozen: bool = False,
        is_troubled: bool = False,
        new_times: float = 1.0,
        jump_times: float = 1.0,
    ) -> Outcome:
        """Take a window in, and return what is to be said of it.

        Parameters
        ----------
        lines
            Masked lines.
        is_frozen
            A change is open: rates are not learned, and of new kinds errors alone are told.
        is_troubled
            Something else is wrong with the service: rates are not learned.
        new_times, jump_times
            Least effects of new kinds, and of jumps, are multiplied by it, at least 1: somebody said that an alarm was false.

        """
        self._n_windows += 1
        may_learn = not (is_frozen or is_troubled)
        self._n_learned += may_learn
        self._fade_news()
        counts, said = self._counted(lines, is_frozen=is_frozen, may_learn=may_learn)
        n_all, n_harmless = sum(counts.values()), sum(n for i, n in counts.items() if self._kinds[i].rank < WARN)
        new, jumped = [], []
        for i in {**self._open, **counts}:
            kind, n = self._kinds[i], counts.get(i, 0)
            if kind.news_from >= 0:
                told = self._news(i, kind, n, n_all, new_times, may_learn=may_learn)
                new += [told._replace(line=said.get(i, ""))] if told is not None else []
            else:
                busy = self._busyness(kind, n, n_harmless)
                told = self._jump(i, kind, n, busy, jump_times)
                self._follow(kind, n, told, may_learn=may_learn)
                jumped += [told._replace(line=said.get(i, ""))] if told is not None else []
                if may_learn and told is None and n:
                    self._learn(kind, n)
            self._keep_open(i, kind)
        if may_learn:
            self._harmless.learn(n_harmless, self._n_learned, self._fade)
        return Outcome(sorted(new, key=_weight), sorted(jumped, key=_weight))

    def accept_new(self) -> None:
        """Take all that is new for normal: a person says so."""
        for i in [i for i in self._open if self._kinds[i].news_from >= 0]:
            self._end_news(self._kinds[i])
            del self._open[i]

    def accept_jumps(self) -> None:
        """Take all that jumps for normal: a person says so."""
        for i in [i for i in self._open if self._kinds[i].run]:
            kind = self._kinds[i]
            self._saw(kind, kind.run)
            kind.run = 0.0
            del self._open[i]

    def _counted(self, lines: Mapping[str, Lines], *, is_frozen: bool, may_learn: bool) -> tuple[dict[int, int], dict[int, str]]:
        """Return the lines of each kind, and the most frequent masked one; what was never seen becomes a kind."""
        counts: dict[int, int] = {}
        said: dict[int, str] = {}
        for line, (n, rank) in lines.items():
            i = self._drain.group(line, str(rank))
            kind = self._kinds.get(i)
            if kind is None:
                kind = self._kinds[i] = self._begun(rank, is_frozen=is_frozen, may_learn=may_learn)
            kind.rank, kind.seen = max(kind.rank, rank), self._n_windows
            if i not in said or n > lines[said[i]].n:
                said[i] = line
            counts[i] = counts.get(i, 0) + n
        if len(self._kinds) > len(self._drain):
            for i in [i for i in self._kinds if i not in self._drain]:
                del self._kinds[i]
                self._open.pop(i, None)
                counts.pop(i, None)
        return counts, said

    def _begun(self, rank: int, *, is_frozen: bool, may_learn: bool) -> Kind:
        """Return a kind seen for the first time: news, unless the service is new itself, or a change is open."""
        kind = Kind(rank=rank, since=self._n_learned, level=Level(at=self._n_learned - may_learn))
        if self._n_learned < self._ready:
            return kind
        kind.is_rare = self._per_day[rank >= WARN] < _SIGHTS * self._tuning.rare_per_day
        self._n_new[rank >= WARN] += may_learn
        if not is_frozen or rank >= ERROR:
            kind.news_from = self._n_windows
        return kind

    def _fade_news(self) -> None:
        self._n_new = [n * self._new_fade for n in self._n_new]
        seen = (1 - self._new_fade ** max(0, self._n_learned - self._ready)) / (1 - self._new_fade) / self._day
        self._per_day = [n / (seen + _PRIOR_DAYS) for n in self._n_new]

    def _news(self, i: int, kind: Kind, n: int, n_all: int, times: float, *, may_learn: bool) -> Told | None:
        """Return what is to be said of a kind that is new; ``None``: nothing now."""
        tuning, which = self._tuning, 2 + (kind.rank >= WARN)
        kind.n_news += n
        least = tuning.least(kind.rank) * times
        if kind.rank < WARN and n < tuning.least_share * n_all:
            return None
        if kind.n_news >= least and not kind.verdict:
            kind.verdict = 1 if self._per_day[which] < tuning.rare_per_day else -1
            self._n_new[which] += may_learn
        is_recent = self._n_windows - kind.seen < tuning.windows(tuning.recent_s)
        is_many = kind.verdict > 0 and kind.n_news >= least and is_recent
        if is_many or (n and kind.rank >= WARN and kind.is_rare and kind.verdict >= 0 and times <= 1):
            score = max(_NEWS_SCORE, _NEWS_SCORE * kind.n_news / least)
            return Told(self._drain.template(i), kind.rank, n, "", n_news=kind.n_news, score=score, threshold=_NEWS_SCORE)
        return None

    def _busyness(self, kind: Kind, n: int, n_harmless: int) -> float:
        """Return how much more harmless lines than usual there are, at least 1: a busy hour is no jump."""
        self._harmless.after(self._n_learned - 1, self._fade)
        usual, now = self._harmless.mean(), n_harmless
        if kind.rank < WARN:
            usual, now = usual - kind.level.mean(), n_harmless - n
        return max(1.0, now / usual) if usual >= _LEAST_OTHERS else 1.0

    def _jump(self, i: int, kind: Kind, n: int, busy: float, times: float) -> Told | None:
        """Return what is to be said of a kind that comes far more often than it used to; ``None``: it does not."""
        tuning = self._tuning
        if self._n_learned - kind.since < self._ready or n < tuning.jump_lines:
            return None
        kind.level.after(max(kind.level.at, self._n_learned - 1), self._fade)
        expected = max(kind.level.mean() * busy, 0.01)
        peak = kind.peak_now(self._n_learned, self._peak_fade)
        limit = max(expected * tuning.jump_times, expected + tuning.jump_lines, 2 * peak) * times
        if n < limit:
            return None
        score = count_score(n, expected, kind.level.variability())
        if score < tuning.jump_sd * times:
            return None
        told = Told(self._drain.template(i), kind.rank, n, "", expected=expected, limit=limit)
        return told._replace(score=score, threshold=tuning.jump_sd)

    def _follow(self, kind: Kind, n: int, told: Told | None, *, may_learn: bool) -> None:
        """Follow a jump; one that is over, and during which nothing else was wrong, was harmless: such counts are known now."""
        if told is not None:
            if not kind.run:
                kind.run_from = self._n_windows
            kind.is_harmless = may_learn and (kind.is_harmless or kind.run == 0)
            kind.run = max(kind.run, float(n))
            kind.level.at = self._n_learned  # not learned from, but not empty either
        elif kind.run:
            if kind.is_harmless:
                self._saw(kind, kind.run)
            kind.run = 0.0

    def _learn(self, kind: Kind, n: int) -> None:
        kind.level.learn(n, self._n_learned, self._fade)
        self._saw(kind, float(n))

    def _saw(self, kind: Kind, count: float) -> None:
        kind.saw(count, self._n_learned, self._peak_fade)

    def _keep_open(self, i: int, kind: Kind) -> None:
        """Note whether a kind is to be looked at although it is not in a window; end news and jumps that are no longer new."""
        tuning = self._tuning
        if kind.news_from >= 0 and (
            self._n_windows - kind.seen >= tuning.windows(tuning.calm_s)
            or self._n_windows - kind.news_from >= tuning.windows(tuning.news_s)
        ):
            self._end_news(kind)
        if kind.run and self._n_windows - kind.run_from >= tuning.windows(tuning.news_s):
            self._end_jump(kind)
        if kind.news_from >= 0 or kind.run:
            self._open[i] = None
        else:
            self._open.pop(i, None)

    def _end_news(self, kind: Kind) -> None:
        kind.news_from, kind.since, kind.level = -1, self._n_learned, Level(at=self._n_learned)

    def _end_jump(self, kind: Kind) -> None:
        """Take a jump that has lasted for the new normal: such counts are known, and what is usual is learned afresh."""
        self._saw(kind, kind.run)
        kind.run = 0.0
        kind.since, kind.level = self._n_learned, Level(at=self._n_learned)

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        return {
            "kind": "log_templates",
            "v": 2,
            "drain": self._drain.to_state(),
            "kinds": {str(i): kind.to_state() for i, kind in self._kinds.items()},
            "open": list(self._open),
            "windows": [self._n_windows, self._n_learned],
            "harmless": self._harmless.to_state(),
            "n_new": self._n_new,
        }

    def from_state(self, state: Mapping[str, Any]) -> "LogTemplates":
        """Take plain data over. That of version 1 does not say when a jump began: it counts from now on.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        with reading(state, "log_templates", 2, 1) as version:
            self._drain.from_state(state["drain"])
            self._n_windows, self._n_learned = (int(n) for n in numbers(state["windows"]))
            run_from = [self._n_windows] if version == 1 else []
            self._kinds = {int(i): Kind.of([*held[:-1], *run_from, held[-1]]) for i, held in state["kinds"].items()}
            self._open = dict.fromkeys(int(i) for i in state["open"])
            self._harmless = Level.of(state["harmless"])
            self._n_new = [number(n) for n in state["n_new"]]
            is_whole = len(self._n_new) == _N_NEW and self._open.keys() <= self._kinds.keys()
            if not is_whole or any(i not in self._drain for i in self._kinds):
                raise ValueError("its parts are not of one state")
        return self


def _weight(told: Told) -> tuple[int, int, str]:
    return -told.rank, -max(told.n, told.n_news), told.template
