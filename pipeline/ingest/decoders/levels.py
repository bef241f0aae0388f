"""How full something is, from a value and the rule of its metric, whoever sends it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.points import Point, Role, SeriesMeaning
from pipeline.contracts.readings import GaugeReading, LevelReading, Origin, PointsReading, RejectReason, UsageReading
from pipeline.contracts.semantic import NamedSignal, SaturationMetric
from pipeline.ingest.decoders.kinds import MAX_VALUE, level_value
from pipeline.ingest.semantics import Attributes, first_text
from pipeline.ingest.validation import number, optional_text, refused

LEVELS = ("ratio", "percent", "free", "free_percent")
"""Forms whose value is the utilization itself."""
COUNTED = ("parts", "used")
"""Forms whose value may also be a counter."""


class About(NamedTuple):
    """What a value is about: by which rule it counts, as what, of whom, when, of which resource."""

    rule: SaturationMetric
    role: Role
    origin: Origin
    at_ms: int
    resource: str


def usage_role(rule: SaturationMetric, attributes: Attributes) -> Role | None:
    """Return what a value counts as, by its state: used, limit, or part (both); ``None``: it does not count."""
    state = first_text(attributes, rule.attribute) if rule.attribute else ""
    is_of_states = not rule.states or state in rule.states
    if rule.form == "parts":
        return "part" if is_of_states else "limit"
    if not is_of_states:
        return None
    return "limit" if rule.form == "limit" else "used"


def resource_name(config: IngestConfig, rule: SaturationMetric, attributes: Attributes) -> str:
    """Return the resource's name, with the value of the rule's label behind it.

    Raises
    ------
    FieldRefused
        If the label's value is no name.

    """
    label = first_text(attributes, (rule.label,)) if rule.label else ""
    return f"{rule.resource} {optional_text(label, rule.label, config.max_text_length)}" if label else rule.resource


def rule_for(rules: Iterable[SaturationMetric], attributes: Attributes) -> tuple[SaturationMetric, Role] | None:
    """Return the first rule by which a value counts, and as what; ``None``: it does not count."""
    for rule in rules:
        role = usage_role(rule, attributes)
        if role is not None:
            return rule, role
    return None


def named_level(rule: NamedSignal, origin: Origin, at_ms: int, value: float) -> LevelReading:
    """Return the reading of a gauge that is a named signal.

    Raises
    ------
    FieldRefused
        If it is not finite, or so large that it has no square.

    """
    return LevelReading(origin=origin, time_ms=at_ms, signal=rule.name, value=level_value(value))


def named_amount(rule: NamedSignal, origin: Origin, series: str, point: Point, interval_ms: int = 0) -> PointsReading:
    """Return the reading of a counter that is a named signal; ``interval_ms`` is how long a delta counted, 0: it is none."""
    meaning = SeriesMeaning(role="amount", resource=rule.name, is_delta=interval_ms > 0)
    return PointsReading(origin=origin, time_ms=point.time_ms, points=[(series, meaning, point)], interval_ms=interval_ms)


def limit_of(config: IngestConfig, about: About) -> float:
    """Return how much of a resource there is, as the configuration says; 0: it does not."""
    for name in (about.resource, about.rule.resource):
        by_service = config.semantic.limits.get(name)
        if by_service is not None:
            return by_service.get(about.origin.service) or by_service.get("*") or 0.0
    return 0.0


def level_of(config: IngestConfig, about: About, value: float) -> GaugeReading | UsageReading | None:
    """Return the reading of a value; ``None``: it is a limit that says there is none, or that the configuration knows better.

    Raises
    ------
    FieldRefused
        If it is not finite, negative, or a utilization far above 1.

    """
    rule, role, origin, at_ms, resource = about
    scaled = value * rule.factor
    if not math.isfinite(scaled):
        raise refused(RejectReason.NOT_FINITE, "value", "must be a number", value)
    if rule.form not in LEVELS:
        amount = number(scaled, "value", 0.0, MAX_VALUE)
        configured = 0.0 if rule.form == "parts" else limit_of(config, about)
        if rule.form == "limit" and (configured or not amount):
            return None
        used, limit = (amount if role != "limit" else 0.0), (amount if role != "used" else configured)
        is_part = rule.form == "parts" or configured > 0
        return UsageReading(origin=origin, time_ms=at_ms, resource=resource, used=used, limit=limit, is_part=is_part)
    share = scaled / 100 if rule.form in {"percent", "free_percent"} else scaled
    if rule.form in {"free", "free_percent"}:
        share = 1 - share
    if -1e-9 < share < 0:
        share = 0.0  # 1 less a share that was rounded up
    return GaugeReading(
        origin=origin, time_ms=at_ms, resource=resource, utilization=number(share, "utilization", 0.0, config.max_utilization)
    )


def counted(
    config: IngestConfig, about: About, names: tuple[str, str], value: float, *, start_ms: int = 0, interval_ms: int = 0
) -> PointsReading | None:
    """Return the reading of a counter of what was used; ``None``: a counter says nothing by its rule.

    Parameters
    ----------
    config, about
        The mapping, and what it is about.
    names
        Of the series, and of those that are used together.
    value
        Counted so far, in the metric's unit.
    start_ms
        Since when; 0: not known.
    interval_ms
        Of a delta: how long it counted; 0: it is none.

    Raises
    ------
    FieldRefused
        If it is not finite, or negative.

    """
    rule, role, origin, at_ms, resource = about
    if rule.form not in COUNTED:
        return None
    point = Point(at_ms, start_ms, number(value * rule.factor, "value", 0.0, MAX_VALUE))
    if rule.form == "parts":
        meaning = SeriesMeaning(role=role, resource=resource, is_delta=interval_ms > 0)
    else:
        limit = limit_of(config, about)
        meaning = SeriesMeaning(role=role, resource=resource, group=names[1], limit=limit, is_delta=interval_ms > 0)
    return PointsReading(origin=origin, time_ms=at_ms, points=[(names[0], meaning, point)], interval_ms=interval_ms)
