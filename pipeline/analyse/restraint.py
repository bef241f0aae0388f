"""What a service's learning discipline asks of its detectors in one window."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.detector import Assessment

_USUAL_THRESHOLD = 3.0
"""Of an opinion that names none, standard deviations."""


@dataclass(frozen=True, slots=True)
class Restraint:
    """Whether they may learn, and by how much thresholds are multiplied, by condition (at least 1)."""

    is_frozen: bool = False
    raised: Mapping[str, float] = field(default_factory=dict)

    def applied(self, opinions: Mapping[str, Assessment]) -> dict[str, Assessment]:
        """Return the opinions; what no longer passes its condition's raised threshold is not anomalous."""
        if not self.raised:
            return dict(opinions)
        return {
            condition: replace(opinion, is_anomalous=False) if self._is_below(condition, opinion) else opinion
            for condition, opinion in opinions.items()
        }

    def _is_below(self, condition: str, opinion: Assessment) -> bool:
        times = self.raised.get(condition)
        if times is None or not opinion.is_anomalous:
            return False
        return abs(opinion.score) < times * opinion.terms.get("threshold", _USUAL_THRESHOLD)


FREE = Restraint()
"""Learn, at the usual thresholds."""
