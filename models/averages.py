"""A mean and a ratio that first count everything alike and then fade: averages that become exponentially weighted ones."""

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
        self.n = n = self.n + 1
        self.value += (x - self.value) * (self._least if n > self.memory else 1 / n)

    def to_state(self) -> list[float]:
        """Return [n, value]."""
        return [self.n, self.value]

    def from_state(self, state: list[float]) -> "FadingMean":
        """Take [n, value] over."""
        n, self.value = numbers(state)
        self.n = int(n)
        return self


class FadingRatio:
    """Mean numerator over mean denominator, both faded as :class:`FadingMean` does, towards a prior while little was seen.

    Parameters
    ----------
    memory
        Values until fading begins, and the time constant from then on; at least 1.
    prior, prior_weight
        The ratio at first, and how much denominator it is worth, above 0.

    Notes
    -----
    Memory O(1); time O(1).

    Examples
    --------
    >>> ratio = FadingRatio(10, prior=0.5, prior_weight=10)
    >>> ratio.value
    0.5
    >>> ratio.update(0.0, 90.0)
    >>> ratio.value
    0.05

    """

    __slots__ = ("_denominator", "_least", "_numerator", "_prior", "_prior_weight", "memory", "n", "value")

    def __init__(self, memory: float, *, prior: float, prior_weight: float) -> None:
        if memory < 1:
            raise ValueError(f"memory must be at least 1, got {memory}")
        self.memory = memory
        self.n = 0
        self.value = prior
        self._least = 1 / memory
        self._numerator = self._denominator = 0.0
        self._prior, self._prior_weight = prior, prior_weight

    def update(self, numerator: float, denominator: float) -> None:
        """Take one pair in."""
        self.n = n = self.n + 1
        weight, seen = (self._least, self.memory) if n > self.memory else (1 / n, n)
        held_numerator, held_denominator, prior_weight = self._numerator, self._denominator, self._prior_weight
        self._numerator = mean_numerator = held_numerator + (numerator - held_numerator) * weight
        self._denominator = mean_denominator = held_denominator + (denominator - held_denominator) * weight
        self.value = (mean_numerator * seen + self._prior * prior_weight) / (mean_denominator * seen + prior_weight)

    def to_state(self) -> list[float]:
        """Return [n, mean numerator, mean denominator]."""
        return [self.n, self._numerator, self._denominator]

    def from_state(self, state: list[float]) -> "FadingRatio":
        """Take it over."""
        n, self._numerator, self._denominator = numbers(state)
        self.n = int(n)
        seen, weight = min(self.n, self.memory), self._prior_weight
        self.value = (self._numerator * seen + self._prior * weight) / (self._denominator * seen + weight)
        return self
