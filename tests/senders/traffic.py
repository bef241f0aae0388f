"""Requests that senders report, in a form or another; and what must become of them."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tests.senders.arrived import Sum

ROUTES = tuple(f"/shop/{name}" for name in ("cart", "pay", "find", "item", "user", "ship", "home", "help"))


@dataclass(frozen=True)
class Asked:
    """One request."""

    duration_s: float
    route: str
    status: int


def traffic(seed: int, n: int) -> list[Asked]:
    """Return ``n`` requests of 6 ms to 9 s, in no bucket without a bound; one in ten of them failed."""
    rng = random.Random(seed)
    return [
        Asked(min(max(rng.lognormvariate(-2.5, 0.8), 0.006), 9.0), rng.choice(ROUTES), 503 if i % 10 == 0 else 200)
        for i in range(n)
    ]


ASKED = traffic(seed=9, n=400)


def native(asked: Sequence[Asked], at_ms: int) -> list[str]:
    """Return requests in Tocsin's own JSON."""
    return [
        json.dumps(
            {
                "kind": "request",
                "service": "shop",
                "operation": f"GET {one.route}",
                "time": at_ms,
                "duration_ms": one.duration_s * 1000,
                "status": one.status,
            }
        )
        for one in asked
    ]


def check_requests(found: Sum, asked: Sequence[Asked] = ASKED, *, max_error: float = 0.0109) -> None:
    """Check traffic, errors, operations exactly, and latencies within the error that they state, at most ``max_error``."""
    durations = [one.duration_s * 1000 for one in asked]
    assert found.requests == len(asked)
    assert found.errors == sum(one.status >= 500 for one in asked)
    assert found.operations == Counter(f"GET {one.route}" for one in asked)
    assert found.latency.count == len(asked)
    assert found.latency.sum == pytest.approx(sum(durations), rel=1e-5)
    error = found.latency.relative_error
    assert error < max_error
    for share in (0.5, 0.9, 0.95, 0.99):
        true = float(np.quantile(durations, share, method="inverted_cdf"))
        assert found.latency.quantile(share) == pytest.approx(true, rel=error + 1e-9)
