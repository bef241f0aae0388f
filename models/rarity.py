"""How rare what a detector found is, as the terms that tell it."""

_LEAST_CHANCE = 1e-12
"""Nobody can say that something is rarer."""


def rarity_terms(chance: float, days: float, *, is_above_all: bool) -> dict[str, float]:
    """Return the terms of a finding: once in ``one_in`` judgements when all is well, ``above_all`` others in ``days``.

    Parameters
    ----------
    chance
        Probability of it in a judgement when all is well, in [0, 1].
    days
        What it is compared with, days.
    is_above_all
        Whether it is further out than all of that; if not, there is no such term.

    Examples
    --------
    >>> rarity_terms(0.0001, 2.5, is_above_all=True)
    {'one_in': 10000.0, 'days': 2.5, 'above_all': 1.0}

    """
    terms = {"one_in": 1 / max(chance, _LEAST_CHANCE), "days": days}
    return terms | {"above_all": 1.0} if is_above_all else terms
