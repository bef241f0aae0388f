"""How alerts are told and kept."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS, AtLeastOne

Ms = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class ActParams:
    """How alerts are told and kept.

    Attributes
    ----------
    old_news_ms
        An alert event older than this when it is read (clock less event time, ms) is recorded, not told.
    tombstone_after_ms
        So long after its end (event time of all alerts, ms) an alert leaves the compacted topic.
    max_alerts
        Dedup keys kept; beyond, the one heard of longest ago goes. At least 1.
    max_services
        Services whose requests are remembered; beyond, the one that asked longest ago goes. At least 1.
    mute_ms
        An alert is muted while one of what its service calls fires that began at most so long before it, ms; 0: never.
        Six windows: with more, a fault of the caller's own was lost (detection.md, section 5).
    source
        CloudEvents ``source`` before the environment, a URI reference.

    """

    old_news_ms: Ms = 300_000
    tombstone_after_ms: Ms = 604_800_000
    max_alerts: AtLeastOne = 20_000
    max_services: AtLeastOne = 10_000
    mute_ms: Ms = 60_000
    source: Annotated[str, Field(pattern=r"^[!-~]+$")] = "/tocsin"
