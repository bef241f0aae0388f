"""When a condition's alarm is open, so that learning stops, and when it is over."""

from dataclasses import dataclass


@dataclass(slots=True)
class Alarm:
    """One condition's alarm of one service, in windows.

    ``run`` counts anomalous windows in a row; two open it. ``is_slow``: only a long scale opened it. ``n_watched``: windows
    for which, once such an alarm is closed, the condition does not count as recovered, because its evidence was forgotten
    and the long scales cannot see the trouble again before. The same goes for one that is back (``is_back``) within
    ``n_since`` windows of its end. ``n_calm`` counts windows since any scale was last anomalous: an alarm that none of
    them has seen for as long as the longest needs to see trouble is over, however unquiet the newest windows are. Held
    open, it would keep everything of the service from being learned, and the next alarm would come of that.
    """

    run: int = 0
    is_open: bool = False
    is_slow: bool = False
    n_open: int = 0
    n_quiet: int = 0
    n_watched: int = 0
    n_since: int = 0
    is_back: bool = False
    n_calm: int = 0

    @property
    def holds(self) -> bool:
        """Whether the condition does not count as recovered yet."""
        return self.is_open or self.n_watched > 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.is_open or self.run or self.n_watched or self.n_since)

    def take(
        self,
        *,
        is_anomalous: bool,
        is_slow: bool,
        is_quiet: bool,
        quiet_least: int,
        quiet_most: int,
        n_watched: int,
        n_since: int,
    ) -> bool:
        """Fold one window in; return whether the alarm has just closed."""
        self.run = self.run + 1 if is_anomalous else 0
        self.n_watched, self.n_since = max(self.n_watched - 1, 0), max(self.n_since - 1, 0)
        if not self.is_open:
            if self.run >= 2:
                self.is_open, self.is_slow, self.n_open, self.n_quiet, self.n_calm = True, is_slow, 0, 0, 0
                self.is_back = self.n_since > 0
            return False
        self.n_open += 1
        self.n_quiet = self.n_quiet + 1 if is_quiet else 0
        self.n_calm = 0 if is_anomalous else self.n_calm + 1
        is_unquiet = self.n_quiet < min(max(self.n_open - self.n_quiet, quiet_least), quiet_most)
        if is_unquiet and self.n_calm < n_watched:
            return False
        is_held = self.is_slow or self.is_back
        self.reset()
        self.n_watched, self.n_since = n_watched if is_held else 0, n_since
        return True

    def reset(self) -> None:
        """Close it, and be done with it."""
        self.run, self.is_open, self.is_slow, self.n_open, self.n_quiet = 0, False, False, 0, 0
        self.n_watched, self.n_since, self.is_back, self.n_calm = 0, 0, False, 0

    def to_state(self) -> list[int]:
        """Return plain data."""
        flags = (self.is_open, self.is_slow, self.is_back)
        return [self.run, self.n_open, self.n_quiet, self.n_watched, self.n_since, *(int(flag) for flag in flags), self.n_calm]

    @classmethod
    def from_state(cls, state: list[int]) -> "Alarm":
        """Return the alarm that the plain data is of; one of the version before did not count ``n_calm``."""
        run, n_open, n_quiet, n_watched, n_since, is_open, is_slow, is_back, n_calm = [*state, 0][:9]
        return cls(
            run=run,
            is_open=bool(is_open),
            is_slow=bool(is_slow),
            n_open=n_open,
            n_quiet=n_quiet,
            n_watched=n_watched,
            n_since=n_since,
            is_back=bool(is_back),
            n_calm=n_calm,
        )
