"""The three profiles by name, one configuration each for both speeds: config/profiles.yaml as frozen parameters."""

from dataclasses import field
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.alert_policy import PROFILES, AlertPolicy
from pipeline.contracts.config import PARAMS

Positive = Annotated[float, Field(gt=0)]
AboveOne = Annotated[float, Field(gt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class NoveltyPolicy:
    """When a novelty score is worth an alert.

    Attributes
    ----------
    threshold
        Scores from here on are hot (docs/detection.md), above 0.
    refractory_s
        A hot score alerts when the last hot one is longer ago than this, seconds, above 0.

    """

    threshold: Positive
    refractory_s: Positive

    def policy(self) -> AlertPolicy:
        """Return the rule that follows from it."""
        return AlertPolicy(threshold=self.threshold, refractory_s=self.refractory_s)


def _novelty(name: str) -> NoveltyPolicy:
    return NoveltyPolicy(threshold=PROFILES[name].threshold, refractory_s=PROFILES[name].refractory_s)


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TicketFast:
    """What the fast path takes for a ticket: a budget, and least effects however improbable a smaller one is.

    Attributes
    ----------
    false_alarms_per_day
        Nominal budget of one service and day, shared by all its tests, above 0.
    latency_short, latency_long
        Over less than ``detection.latency.long_s`` seconds, and over more; times the expected latency, above 1.
    latency_p95
        As ``latency_long``, of a 95th percentile that arrived ready-made, above 1.
    errors_times, errors_plus
        Times the expected error ratio, above 1; *and* above it by so much, share of requests in [0, 1].
    traffic_drop
        Expected over observed requests, above 1.
    full
        Utilization of a resource from which on it is too full, above 0; 1 is full.

    """

    false_alarms_per_day: Positive = 0.15
    latency_short: AboveOne = 1.6
    latency_long: AboveOne = 1.25
    latency_p95: AboveOne = 1.3
    errors_times: AboveOne = 2.0
    errors_plus: Share = 0.002
    traffic_drop: AboveOne = 1.6
    full: Positive = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class PageFast:
    """What the fast path takes for a page: a smaller budget, and larger least effects.

    Attributes
    ----------
    false_alarms_per_day
        Nominal budget of one service and day, shared by all its tests, above 0.
    latency
        Times the expected latency, above 1.
    errors_times, errors_plus, traffic_drop, full
        As of a ticket.

    """

    false_alarms_per_day: Positive = 0.001
    latency: AboveOne = 1.8
    errors_times: AboveOne = 3.0
    errors_plus: Share = 0.02
    traffic_drop: AboveOne = 2.0
    full: Positive = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class PageProfile:
    """What a person must act on now.

    Attributes
    ----------
    fast, novelty
        Of closed windows, and of five-minute series.

    """

    fast: PageFast = field(default_factory=PageFast)
    novelty: NoveltyPolicy = field(default_factory=lambda: _novelty("page"))


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TicketProfile:
    """What to look at by day.

    Attributes
    ----------
    fast, novelty
        Of closed windows, and of five-minute series.

    """

    fast: TicketFast = field(default_factory=TicketFast)
    novelty: NoveltyPolicy = field(default_factory=lambda: _novelty("ticket"))


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class NabProfile:
    """The Numenta benchmark's: series of five-minute values, which have no fast path.

    Attributes
    ----------
    novelty
        Of its series.

    """

    novelty: NoveltyPolicy = field(default_factory=lambda: _novelty("nab"))


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Profiles:
    """The three profiles. An alert's severity names the one that it met: ``page``, else ``ticket``.

    Attributes
    ----------
    page
        What a person must act on now.
    ticket
        What to look at by day.
    nab
        The Numenta benchmark's, read by `make bench-nab`.

    """

    page: PageProfile = field(default_factory=PageProfile)
    ticket: TicketProfile = field(default_factory=TicketProfile)
    nab: NabProfile = field(default_factory=NabProfile)
