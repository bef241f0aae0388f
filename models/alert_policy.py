"""When a novelty score is worth an alert: a threshold, silence after one, patience with a series that alerts often."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """One configuration of the rule.

    Attributes
    ----------
    threshold
        Scores from here on are hot; positive.
    refractory_s
        A hot point alerts when the last hot one is longer ago than this, seconds.
    override
        It alerts all the same when its score is this many times the last alert's.
    fatigue
        Each alert raises the threshold by this share of it ...
    fatigue_decay_s
        ... which decays with this time constant, seconds.
    young_s
        A series is young for this long, seconds, and its alerts are withheld: before a second day nobody knows its day.
        They count for silence and patience all the same.

    """

    threshold: float
    refractory_s: float
    override: float = 3.0
    fatigue: float = 0.2
    fatigue_decay_s: float = 7 * _DAY_S
    young_s: float = 2 * _DAY_S

    def __post_init__(self) -> None:
        for name in ("threshold", "override", "fatigue_decay_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("refractory_s", "fatigue", "young_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


PROFILES: Mapping[str, AlertPolicy] = MappingProxyType(
    {
        "page": AlertPolicy(threshold=2.5, refractory_s=4 * _HOUR_S),
        "ticket": AlertPolicy(threshold=1.45, refractory_s=4 * _HOUR_S),
        "nab": AlertPolicy(threshold=1.45, refractory_s=12.5 * _HOUR_S),
    }
)
"""By name: what a person must act on now, what to look at by day, and the Numenta benchmark's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMemory:
    """What the rule remembers of a series; times in epoch seconds, ``None`` before the first."""

    first_s: float | None = None
    """When the series was first seen."""
    last_hot_s: float | None = None
    last_alert_s: float | None = None
    last_alert_score: float = 0.0
    fatigue: float = 0.0
    """At the last alert, after it."""

    def fatigue_at(self, policy: AlertPolicy, time_s: float) -> float:
        """Return what is left of the fatigue."""
        if self.last_alert_s is None:
            return 0.0
        return self.fatigue * math.exp(-max(0.0, time_s - self.last_alert_s) / policy.fatigue_decay_s)


class Outcome(StrEnum):
    """What became of a score."""

    NOT_READY = "not_ready"
    COLD = "cold"
    YOUNG = "young"
    REFRACTORY = "refractory"
    ALERT = "alert"
    OVERRIDE = "override"

    @property
    def is_alert(self) -> bool:
        """Whether it is worth an alert."""
        return self in (Outcome.ALERT, Outcome.OVERRIDE)


def step(policy: AlertPolicy, memory: AlertMemory, *, time_s: float, score: float | None) -> tuple[AlertMemory, Outcome]:
    """Return the memory after one score, and what became of it.

    Parameters
    ----------
    policy
        The configuration.
    memory
        Of this series.
    time_s
        Of the score, epoch seconds.
    score
        High is anomalous; ``None`` while the detector is not ready.

    Examples
    --------
    >>> memory = AlertMemory(first_s=-172_800)
    >>> for time_s, score in ((0, 2.0), (300, 2.0), (600, 7.0), (90_000, 1.5)):
    ...     memory, outcome = step(PROFILES["nab"], memory, time_s=time_s, score=score)
    ...     print(outcome)
    alert
    refractory
    override
    cold

    """
    if memory.first_s is None:
        memory = replace(memory, first_s=time_s)
    if score is None:
        return memory, Outcome.NOT_READY
    fatigue = memory.fatigue_at(policy, time_s)
    if score < policy.threshold * (1 + fatigue):
        return memory, Outcome.COLD
    if memory.last_hot_s is None or time_s - memory.last_hot_s > policy.refractory_s:
        outcome = Outcome.ALERT
    elif score >= policy.override * memory.last_alert_score:
        outcome = Outcome.OVERRIDE
    else:
        return replace(memory, last_hot_s=time_s), Outcome.REFRACTORY
    alerted = replace(memory, last_hot_s=time_s, last_alert_s=time_s, last_alert_score=score, fatigue=fatigue + policy.fatigue)
    is_young = memory.first_s is not None and time_s - memory.first_s < policy.young_s
    return alerted, Outcome.YOUNG if is_young else outcome
