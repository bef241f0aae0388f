"""How the novelty detectors are used: config/learning.yaml, section `novelty`."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS

Mode = Literal["disabled", "shadow", "alert"]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class NoveltyParams:
    """Novelty of a service's five-minute series: a second opinion with two weeks of memory.

    Attributes
    ----------
    mode
        ``disabled``; ``shadow``: its verdicts are published and alert nobody; ``alert``: they become alerts.
    max_services
        Services per partition that are watched so, the first that were heard of; at least 1. About 300 kB each.
    least_requests
        Requests in five minutes below which latency and errors say nothing, at least 1.
    calm_rollups
        Rollups below the threshold that end an alarm, at least 1.
    max_alarm_s
        An alarm open longer shows the new normal, seconds, above 0.

    """

    mode: Mode = "shadow"
    max_services: Annotated[int, Field(ge=1)] = 500
    least_requests: Annotated[int, Field(ge=1)] = 20
    calm_rollups: Annotated[int, Field(ge=1)] = 3
    max_alarm_s: Annotated[float, Field(gt=0)] = 8 * 3600.0
