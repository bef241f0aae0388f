"""A mean that first counts everything alike and then fades: river's Mean, then river's EWMean."""

from river import stats


class FadingMean:
    """Mean of all values until ``memory`` of them were seen; from then on each new one weighs ``1 / memory``.

    Parameters
    ----------
    memory
        Values until fading begins, and the time constant from then on; at least 1.

    Notes
    -----
    Memory O(1); time O(1); samples until ready: 1.

    Examples
    --------
    >>> mean = FadingMean(10)
    >>> for x in (1.0, 2.0, 3.0):
    ...     mean.update(x)
    >>> mean.value
    2.0

    """

    __slots__ = ("_fading", "_warm_up", "memory", "n", "value")

    def __init__(self, memory: float) -> None:
        if memory < 1:
            raise ValueError(f"memory must be at least 1, got {memory}")
        self.memory = memory
        self.n = 0
        self.value = 0.0
        self._warm_up = stats.Mean()
        self._fading: stats.EWMean | None = None

    def update(self, x: float) -> None:
        """Take one value in."""
        self.n += 1
        if self._fading is None:
            self._warm_up.update(x)
            self.value = self._warm_up.get()
            if self.n >= self.memory:
                self._fading = stats.EWMean(1 / self.memory)
                self._fading.update(self.value)  # its first value is its mean
        else:
            self._fading.update(x)
            self.value = self._fading.get()

    def to_state(self) -> list[float]:
        """Return [n, value]."""
        return [self.n, self.value]

    def from_state(self, state: list[float]) -> "FadingMean":
        """Take [n, value] over."""
        n, value = state
        self.n, self.value = int(n), float(value)
        if self.n >= self.memory:
            self._fading = stats.EWMean(1 / self.memory)
            self._fading.update(self.value)
        else:
            self._warm_up = stats.Mean()
            if self.n:
                self._warm_up.update(self.value, self.n)
        return self
