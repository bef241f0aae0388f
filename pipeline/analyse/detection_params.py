"""How detection is tuned: config/detection.yaml as frozen parameters, and the profiles with it."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.analyse.profile_params import AboveOne, Positive, Profiles, Share
from pipeline.contracts.config import PARAMS


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class LatencyParams:
    """What all profiles share of latency.

    Attributes
    ----------
    long_s
        From how many seconds of evidence on a profile's ``latency_long`` counts instead of ``latency_short``, above 0.
    tail_times
        Requests above the usual 98.5 % point, times their usual share, above 1.

    """

    long_s: Positive = 300.0
    tail_times: AboveOne = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TrafficParams:
    """What all profiles share of traffic.

    Attributes
    ----------
    rise
        Observed over expected requests, above 1.

    """

    rise: AboveOne = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SaturationParams:
    """When a resource is too full; utilizations, 1 is full.

    Attributes
    ----------
    recovered
        What was too full no longer is below it, utilization, above 0.
    to_full_s
        Seconds to full at its present growth from which on a resource in ``fills_up`` is too full already.
    least_rise
        ... once it is so much above its usual level, utilization in [0, 1].
    fills_up
        Names of resources that only grow until something breaks.
    max_resources
        Resources judged per service, at least 1; the first so many that were seen.

    """

    recovered: Positive = 0.9
    to_full_s: Positive = 4 * 3600.0
    least_rise: Share = 0.05
    fills_up: tuple[str, ...] = ("memory", "disk", "heap")
    max_resources: Annotated[int, Field(ge=1)] = 16


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SilenceParams:
    """Empty windows in a row that are news.

    Attributes
    ----------
    least_run
        Needed at least, windows, 2 or more; a service that is often silent needs more.
    longest_run
        Windows, 2 or more; a service that would need more is sparse, and never called silent.

    """

    least_run: Annotated[int, Field(ge=2)] = 2
    longest_run: Annotated[int, Field(ge=2)] = 360


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TemplateParams:
    """When kinds of log lines are news: lines that say the same but for numbers, ids, addresses and words that differ.

    Attributes
    ----------
    max_kinds
        Kinds kept of a service, at least 1; past it the one seen least recently goes, and is new when it comes again.
    ready_s
        Learned of a service before a new kind means anything, and of a kind before its rate does, seconds, above 0.
    least_errors, least_warnings, least_others
        Lines since it was first seen that make a new kind more than one window's anomaly, by severity, at least 1.
    rare_per_day
        Of a service that brings more new kinds a day, with so many lines, none is told; above 0.
    jump_times, jump_lines
        Least effects of a jump: times the usual count of a window, above 1; and lines above it, at least 1.

    """

    max_kinds: Annotated[int, Field(ge=1)] = 300
    ready_s: Positive = 3600.0
    least_errors: Annotated[int, Field(ge=1)] = 3
    least_warnings: Annotated[int, Field(ge=1)] = 5
    least_others: Annotated[int, Field(ge=1)] = 20
    rare_per_day: Positive = 3.0
    jump_times: AboveOne = 5.0
    jump_lines: Annotated[int, Field(ge=1)] = 20


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SignalParams:
    """When a named signal (``signals`` of config/semantic.yaml) is unusual.

    Attributes
    ----------
    name
        Of the signal.
    direction
        ``up``: only too much is news; ``down``: only too little; ``both``.
    times, page_times
        Least effects of a ticket and of a page: the expected amount times, or divided by, so much; above 1. A rise of a counter
        is never a page.
    plus, page_plus
        Of a gauge, instead: so much more or less than expected, in its own unit. 0: ``times`` say it; of a page, where ``plus``
        is not 0: there is none.

    """

    name: str = ""
    direction: Literal["up", "down", "both"] = "both"
    times: AboveOne = 1.6
    page_times: AboveOne = 3.0
    plus: Annotated[float, Field(ge=0, lt=1e100)] = 0.0
    page_plus: Annotated[float, Field(ge=0, lt=1e100)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class DetectionParams:
    """Everything that the detection stage is told.

    Attributes
    ----------
    max_services
        Services kept per partition; beyond, the least recently heard of goes.
    ready_windows
        Windows that a detector learns from before it judges.
    scales
        Time scales, windows: 1, multiples of 6, and from 120 on of 30.
    level_s, variability_s, tail_s
        Memory of levels, variabilities and score tails, seconds.
    quiet_windows, quiet_windows_max
        Quiet windows that close an alarm: as many as it lasted, within these.
    max_alarm_s
        An alarm open longer is the new normal, seconds.
    signals
        When named signals are unusual; one that is not here follows the defaults.
    max_signals
        Named signals judged of a service, the first that come; at least 1.
    profiles
        Set from config/profiles.yaml.

    """

    max_services: Annotated[int, Field(ge=1)] = 10_000
    ready_windows: Annotated[int, Field(ge=1)] = 120
    scales: tuple[int, ...] = (1, 6, 30, 120)
    level_s: Positive = 8 * 3600.0
    variability_s: Positive = 2 * 86_400.0
    tail_s: Positive = 7 * 86_400.0
    quiet_windows: Annotated[int, Field(ge=1)] = 3
    quiet_windows_max: Annotated[int, Field(ge=1)] = 30
    max_alarm_s: Positive = 8 * 3600.0
    latency: LatencyParams = field(default_factory=LatencyParams)
    traffic: TrafficParams = field(default_factory=TrafficParams)
    saturation: SaturationParams = field(default_factory=SaturationParams)
    silence: SilenceParams = field(default_factory=SilenceParams)
    profiles: Profiles = field(default_factory=Profiles)
    templates: TemplateParams = field(default_factory=TemplateParams)
    signals: tuple[SignalParams, ...] = ()
    max_signals: Annotated[int, Field(ge=1)] = 16
