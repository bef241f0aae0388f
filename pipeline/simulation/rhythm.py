"""How busy the shop is at a time of day: decides the expected visits, before chance."""

import math

DAY_MS = 86_400_000
PEAK_HOUR = 19.0
"""Evening, UTC: people shop after work."""
AMPLITUDE = 0.35
"""Share by which the peak lies above, and the trough below, the mean."""
LUNCH_HOUR = 12.5
LUNCH_SHARE = 0.08


def busyness(time_ms: int) -> float:
    """Return the expected visits at ``time_ms`` as a multiple of their daily mean, dimensionless.

    Two smooth bumps a day: a wide one in the evening, a small one at noon. In ``[0.6, 1.45]``.

    Examples
    --------
    >>> busyness(19 * 3_600_000) > 1.3 > 0.7 > busyness(7 * 3_600_000)
    True

    """
    hour = time_ms % DAY_MS / 3_600_000
    evening = math.cos((hour - PEAK_HOUR) / 24 * 2 * math.pi)
    lunch = math.exp(-(((hour - LUNCH_HOUR) / 1.0) ** 2))
    return 1.0 + AMPLITUDE * evening + LUNCH_SHARE * lunch
