"""How long a consumer group waits for its members, by profile."""

from dataclasses import dataclass
from typing import Literal

Profile = Literal["test", "local", "production"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Group timeouts of one profile, seconds.

    Attributes
    ----------
    session_s
        Without heartbeats for so long, a worker is declared dead; a take-over takes at least that.
    rebalance_s
        How long a worker has to come back into a rebalance.
    heartbeat_s
        Between two heartbeats, at most a third of the session.
    request_s
        Of one request; not below the session, aiokafka insists.

    """

    session_s: float
    rebalance_s: float
    heartbeat_s: float
    request_s: float


TIMEOUTS: dict[Profile, Timeouts] = {
    "test": Timeouts(session_s=2, rebalance_s=2, heartbeat_s=0.5, request_s=10),
    "local": Timeouts(session_s=6, rebalance_s=6, heartbeat_s=2, request_s=20),
    "production": Timeouts(session_s=30, rebalance_s=30, heartbeat_s=3, request_s=60),
}
"""design.md section 5. A stock broker refuses sessions under 6 s; brokers of the test profile are set for it."""
