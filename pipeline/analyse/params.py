"""Parameters of the window stage."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS, AtLeastOne, AtLeastZero


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class WindowParams:
    """How long windows wait, and how much is kept.

    Attributes
    ----------
    delay_ms
        Waited after a window's end before it is published first, ms, at least 0.
    grace_ms
        Further time in which data revises it, ms; not less than the session timeout.
    max_hold_ms
        A source that holds the others back for longer is left behind, ms.
    silence_max_ms
        A service without data for longer is retired, ms.
    max_services
        Profiles kept per partition; past it, the least recently used whose windows are gone is forgotten.
    max_operations
        Operations told apart in a published window; the rest is ``other``.
    max_templates
        Masked log lines told apart in a published window, the worst and most frequent; the rest is counted together.
    revisions_before_delay
        Windows in a row that must have got data after their publication before the service's delay is lengthened.
    max_delay_ms
        Bound of a lengthened delay, ms.
    max_edges
        Things that a service is known to call; past it, the one called longest ago goes.
    edge_max_age_ms
        What a service has not called for longer is not known of it any more, ms.
    refresh_ms
        A row not written for longer is written again, ms: with a zombie's life less than the changelog's
        ``min.compaction.lag.ms``, so that compaction never keeps what a zombie wrote last.

    """

    delay_ms: AtLeastZero = 3_000
    grace_ms: Annotated[int, Field(ge=1_000)] = 60_000
    max_hold_ms: AtLeastOne = 3_600_000
    silence_max_ms: AtLeastOne = 86_400_000
    max_services: AtLeastOne = 20_000
    max_operations: AtLeastOne = 50
    max_templates: AtLeastOne = 100
    revisions_before_delay: AtLeastOne = 6
    max_delay_ms: AtLeastZero = 30_000
    max_edges: AtLeastOne = 200
    edge_max_age_ms: AtLeastOne = 86_400_000
    refresh_ms: AtLeastOne = 300_000
