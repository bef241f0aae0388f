"""How much a signal wanders beyond its sampling error: learned as observed variance minus sampling variance."""

from models.errors import numbers

_CAP = 16.0
"""One observation counts at most as four standard deviations."""


class Variability:
    """A variance that fades, weighted by how much of the observed variance it explains.

    Parameters
    ----------
    memory
        Windows after which an observation counts 1/e.
    prior
        Value at first, above 0.
    floor
        Never below it, above 0.

    Notes
    -----
    Memory O(1); time O(1).

    """

    __slots__ = ("_fade", "_floor", "_prior", "total", "value", "weight")

    def __init__(self, memory: float, prior: float, floor: float) -> None:
        self._fade = 1 - 1 / memory
        self._floor = floor
        self._prior = prior
        self.restart()

    def restart(self) -> None:
        """Go back to the prior, which weighs like ten observations."""
        self.weight = 10.0
        self.total = self.weight * self._prior
        self.value = self._prior

    def learn(self, squared: float, sampling: float, weight: float) -> None:
        """Take in a squared deviation whose sampling variance is known; ``weight`` as for a tail."""
        variance = self.value + sampling
        gain = weight * self.value / variance
        fade = self._fade
        self.total = self.total * fade + gain * ((squared if squared < _CAP * variance else _CAP * variance) - sampling)
        self.weight = self.weight * fade + gain
        value = self.total / self.weight
        self.value = value if value > self._floor else self._floor

    def to_state(self) -> list[float]:
        """Return [weight, total, value]."""
        return [self.weight, self.total, self.value]

    def from_state(self, state: list[float]) -> "Variability":
        """Take it over."""
        self.weight, self.total, self.value = numbers(state)
        return self
