"""How full something is, from a value and the rule of its metric, whoever sends it."""

import math

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.points import Role
from pipeline.contracts.readings import GaugeReading, Origin, RejectReason, UsageReading
from pipeline.contracts.semantic import SaturationMetric
from pipeline.ingest.decoders.kinds import MAX_VALUE
from pipeline.ingest.semantics import Attributes, first_text
from pipeline.ingest.validation import number, optional_text, refused

LEVELS = ("ratio", "percent", "free", "free_percent")
"""Forms whose value is the utilization itself."""


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


def level_of(
    config: IngestConfig, rule: SaturationMetric, role: Role, *, origin: Origin, at_ms: int, resource: str, value: float
) -> GaugeReading | UsageReading:
    """Return the reading of a value.

    Raises
    ------
    FieldRefused
        If it is not finite, negative, or a utilization far above 1.

    """
    scaled = value * rule.factor
    if not math.isfinite(scaled):
        raise refused(RejectReason.NOT_FINITE, "value", "must be a number", value)
    if rule.form not in LEVELS:
        amount = number(scaled, "value", 0.0, MAX_VALUE)
        used, limit = (amount if role != "limit" else 0.0), (amount if role != "used" else 0.0)
        return UsageReading(origin=origin, time_ms=at_ms, resource=resource, used=used, limit=limit, is_part=rule.form == "parts")
    share = scaled / 100 if rule.form in {"percent", "free_percent"} else scaled
    if rule.form in {"free", "free_percent"}:
        share = 1 - share
    if -1e-9 < share < 0:
        share = 0.0  # 1 less a share that was rounded up
    return GaugeReading(
        origin=origin, time_ms=at_ms, resource=resource, utilization=number(share, "utilization", 0.0, config.max_utilization)
    )
