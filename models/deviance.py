"""How improbable a count is: the signed root of its deviance, which is close to a standard normal."""

import math


def count_score(count: float, expected: float, variability: float) -> float:
    """Return the signed root of the negative-binomial deviance of a count.

    Parameters
    ----------
    count
        What was counted, at least 0.
    expected
        Its expectation, above 0.
    variability
        Squared coefficient of variation of the rate behind the count, dimensionless, at least 0 (0: Poisson).

    Returns
    -------
    float
        About standard normal when all is well; positive when the count is too high. The count is first moved
        by 1/2 towards the expectation (continuity).

    Examples
    --------
    >>> round(count_score(100, 100, 0.0), 6), round(count_score(140, 100, 0.0), 2), round(count_score(0, 25, 0.0), 2)
    (0.0, 3.73, -6.71)

    """
    if count > expected:
        y = count - 0.5
        if y <= expected:
            return 0.0
    else:
        y = count + 0.5
        if y >= expected:
            return 0.0
    near = y * math.log(y / expected)
    if variability * expected < 1e-9:
        deviance = 2 * (near - (y - expected))
    else:
        r = 1 / variability
        deviance = 2 * (near - (y + r) * math.log((y + r) / (expected + r)))
    root = math.sqrt(deviance) if deviance > 0 else 0.0
    return root if y > expected else -root


ABATED_SD = 2.0
"""Standard deviations by which a window must have come down to be called abating."""


def has_abated(now: float, before: float, variance: float) -> bool:
    """Return whether an excess has come down, beyond what two windows differ by.

    Parameters
    ----------
    now, before
        Excess over expectation of the newest window, and of the one before it, in one unit.
    variance
        Of their difference when nothing has changed, in that unit squared.

    Examples
    --------
    >>> has_abated(0.2, 0.9, 0.01), has_abated(0.8, 0.9, 0.01), has_abated(1.4, 0.9, 0.01)
    (True, False, False)

    """
    drop = before - now
    return drop > 0 and drop * drop > ABATED_SD * ABATED_SD * variance


def count_limit(count: float, expected: float, variability: float, threshold: float) -> float:
    """Return the count between ``expected`` and ``count`` at which the score reaches ``threshold``: short of ``count``.

    Parameters
    ----------
    count
        One whose score is beyond the threshold, on either side.
    expected, variability
        See :func:`count_score`.
    threshold
        Standard deviations, at least 0.

    Examples
    --------
    >>> round(count_limit(140, 100, 0.0, 3.0), 1), round(count_limit(0, 25, 0.0, 3.0), 1)
    (132.0, 11.1)

    """
    inside, outside = expected, count
    for _ in range(30):
        middle = (inside + outside) / 2
        if abs(count_score(middle, expected, variability)) > threshold:
            outside = middle
        else:
            inside = middle
    return inside


def count_bound(expected: float, variability: float, sd: float) -> float:
    """Return the count that lies about ``sd`` standard deviations above its expectation, at least one.

    On the scale of square roots, where a Poisson count has standard deviation 1/2: ``(sqrt(E) + sd / 2)^2``, widened by
    the variability.

    Examples
    --------
    >>> round(count_bound(0.2, 0.0, 3.0), 1), round(count_bound(100, 0.0, 3.0), 1), round(count_bound(100, 0.04, 3.0), 1)
    (3.8, 132.2, 169.3)

    """
    return expected + sd * math.sqrt(expected + variability * expected * expected) + sd * sd / 4
