"""A mean that first counts everything alike and then fades: an average that becomes an exponentially weighted one."""

from models.errors import numbers


class FadingMean:
    """Mean of all values until ``memory`` of them were seen; from then on each new one weighs ``1 / memory``.

    Parameters
    ----------
    memory
        Values until fading begins, and the time constant from then on; at least 1.

    Notes
    -----
    Memory O(1); time O(1); samples until ready: 1. The arithmetic of river's ``Mean`` and ``EWMean`` in three lines,
    because a service takes a dozen of these steps every window.

    Examples
    --------
    >>> mean = FadingMean(10)
    >>> for x in (1.0, 2.0, 3.0):
    ...     mean.update(x)
    >>> mean.value
    2.0

    """

    __slots__ = ("_least", "memory", "n", "value")

    def __init__(self, memory: float) -> None:
        if memory < 1:
            raise ValueError(f"memory must be at least 1, got {memory}")
        self.memory = memory
        self.n = 0
        self.value = 0.0
        self._least = 1 / memory

    def update(self, x: float) -> None:
        """Take one value in."""
        self.n += 1
        weight = self._least if self.n > self.memory else 1 / self.n
        self.value += (x - self.value) * weight

    def to_state(self) -> list[float]:
        """Return [n, value]."""
        return [self.n, self.value]

    def from_state(self, state: list[float]) -> "FadingMean":
        """Take [n, value] over."""
        n, self.value = numbers(state)
        self.n = int(n)
        return self
