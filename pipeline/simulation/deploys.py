"""When the shop's services are deployed, and what runs after it: decides versions and change events."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pipeline.contracts.ids import content_id
from pipeline.simulation.rhythm import DAY_MS

DEPLOY_SHARE = 0.6
"""A service is deployed on this share of the days."""
WORKDAY_START_MS = 8 * 3_600_000
WORKDAY_MS = 9 * 3_600_000
"""Deploys happen in working hours, UTC."""
LATENCY_SPREAD = 0.06
"""A version's own work is up to this share faster or slower than the service's usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """A version that runs from ``time_ms`` on; ``latency_factor`` multiplies the service's own work, near 1."""

    service: str
    time_ms: int
    version: str
    latency_factor: float


def deploys_between(seed: int, service: str, start_ms: int, end_ms: int) -> Iterator[Deploy]:
    """Yield the deploys of a service in ``[start_ms, end_ms)``, by time."""
    for day in range(start_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1):
        deploy = _deploy_of_day(seed, service, day)
        if deploy is not None and start_ms <= deploy.time_ms < end_ms:
            yield deploy


def running(seed: int, service: str, time_ms: int) -> Deploy:
    """Return the deploy whose version runs at ``time_ms``."""
    day = time_ms // DAY_MS
    deploy = _deploy_of_day(seed, service, day)
    while deploy is None or deploy.time_ms > time_ms:
        day -= 1
        deploy = _deploy_of_day(seed, service, day)
    return deploy


@lru_cache(maxsize=4096)
def _deploy_of_day(seed: int, service: str, day: int) -> Deploy | None:
    digits = content_id("deploy", seed, service, day)
    chance, moment, quality = (int(digits[i : i + 8], 16) / 0xFFFFFFFF for i in (0, 8, 16))
    if chance > DEPLOY_SHARE:
        return None
    return Deploy(
        service=service,
        time_ms=day * DAY_MS + WORKDAY_START_MS + int(moment * WORKDAY_MS),
        version=f"1.{day % 1000}.0",
        latency_factor=1.0 + LATENCY_SPREAD * (2 * quality - 1),
    )
