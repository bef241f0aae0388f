"""How rare what was found is, in words: decides which of the terms behind a finding a person is told."""

import math
from collections.abc import Mapping

from pipeline.analyse.wording import number
from pipeline.contracts.anomalies import Finding

ONE_IN, DAYS, ABOVE_ALL, BELOW_ALL = "one_in", "days", "above_all", "below_all"
RARITY = frozenset({ONE_IN, DAYS, ABOVE_ALL, BELOW_ALL})
"""Terms that say how rare it is."""
_LEAST_TOLD = 10.0
"""What is more frequent is not called rare."""
_MOST_TOLD = 1_000_000
"""A law learned in days says nothing of what is rarer."""
_TERMS = {
    "value_never_seen": "far from every value",
    "shape_never_seen": "a course unlike any",
    "wrong_for_this_hour": "unlike this hour of the day",
    "new_extreme": "outside of all",
}
"""What the rarest term says, before "in N days"."""


def rarity(finding: Finding) -> str:
    """Return what is new about a value and how rare that is; empty where the finding does not say.

    Examples
    --------
    >>> terms = {"one_in": 30_000.0, "days": 14.0, "value_never_seen": 4.5}
    >>> rarity(Finding(condition="novelty:latency", signal="latency", judgement="anomalous", explanation=terms))
    'far from every value in 14 days; 1 in 30,000'

    """
    terms = finding.explanation
    one_in = terms.get(ONE_IN)
    if one_in is None or not math.isfinite(one_in) or not terms.keys() & _TERMS.keys():
        return ""
    if terms.get(ABOVE_ALL):
        what = "higher than anything"
    elif terms.get(BELOW_ALL):
        what = "lower than anything"
    else:
        rarest = max(_TERMS, key=lambda term: terms.get(term, 0.0))
        what = _TERMS[rarest]
    return f"{what}{_past(terms)}; {_chance(one_in)}"


def how_rare(finding: Finding, further: str = "further out") -> str:
    """Return how rare an anomaly of the fast path is, beside what its size is; empty where the finding does not say.

    Examples
    --------
    >>> terms = {"one_in": 31_234.0, "days": 9.0, "above_all": 1.0}
    >>> how_rare(Finding(condition="latency", signal="latency", judgement="anomalous", explanation=terms))
    'further out than anything in 9 days (1 in 30,000)'
    >>> how_rare(Finding(condition="latency", signal="latency", judgement="anomalous", explanation=terms | {"one_in": 1e12}))
    'further out than anything in 9 days (1 in 1,000,000 or rarer)'

    """
    terms = finding.explanation
    one_in = terms.get(ONE_IN)
    if one_in is None or not math.isfinite(one_in) or one_in < _LEAST_TOLD:
        return ""
    chance = _chance(one_in)
    return f"{further} than anything{_past(terms)} ({chance})" if terms.get(ABOVE_ALL) else f"{chance} by chance"


def _chance(one_in: float) -> str:
    """Return "1 in n", n to one digit."""
    if one_in > _MOST_TOLD:
        return f"1 in {number(_MOST_TOLD)} or rarer"
    digits = 10 ** math.floor(math.log10(max(one_in, 1.0)))
    return f"1 in {number(round(max(one_in, 1.0) / digits) * digits)}"


def _past(terms: Mapping[str, float]) -> str:
    days = terms.get(DAYS, 0.0)
    return f" in {number(days)} days" if days >= 1.5 else f" in {number(24 * days)} hours"
