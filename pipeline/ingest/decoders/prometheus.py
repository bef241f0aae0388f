"""prometheus-kafka-adapter's JSON: one sample a message; histograms come in parts, each a series of its own."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.points import Point, SeriesMeaning
from pipeline.contracts.readings import Decoded, PointsReading, Reading, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.contracts.semantic import MS_PER_UNIT, NamedSignal, RequestMetric, SaturationMetric
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.buckets import MAX_TOTAL, check_sum
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.levels import About, counted, level_of, named_amount, named_level, resource_name, rule_for
from pipeline.ingest.decoders.otlp_points import QUANTILE_NAMES, series_name
from pipeline.ingest.semantics import Semantics, first_text, is_named, joined, semantics_of
from pipeline.ingest.times import reading_time
from pipeline.ingest.validation import missing, number, refused, shown

_PARTS = {"_bucket": "bucket", "_sum": "sum", "_count": "count"}


class Sample(NamedTuple):
    """One sample: labels without ``__name__``."""

    name: str
    labels: dict[str, str]
    value: float
    at_ms: int


def decode_prometheus(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message of prometheus-kafka-adapter holds: a sample, or an array of samples."""
    parsed = json_records(config, record.value or b"")
    if isinstance(parsed, Rejection):
        return Decoded(rejections=[parsed])
    harvest, semantics = Harvest(), semantics_of(config)
    for item in parsed:
        harvest.index += 1
        try:
            reading = _read(harvest, semantics, topic, record.timestamp_ms, item)
        except FieldRefused as refusal:
            harvest.refuse(refusal)
        else:
            if reading is None:
                harvest.n_ignored += 1
            else:
                harvest.readings.append(reading)
    return harvest.decoded()


def _read(harvest: Harvest, semantics: Semantics, topic: str, published_ms: int, item: object) -> Reading | None:
    """Return a sample's reading; ``None``: it says nothing here."""
    if type(item) is not dict:
        raise refused(RejectReason.WRONG_TYPE, "", "a sample must be an object", item)
    name = _name(item)
    base, part = _split(name)
    rule = semantics.request_rule(base) if semantics.counts_metrics else None
    levels, named = semantics.saturation_rules(name), semantics.named_signal(name)
    if not levels and named is None and not (rule is not None and (part or rule.form == "count" or "quantile" in _labels(item))):
        harvest.unmapped[name] = harvest.unmapped.get(name, 0) + 1
        return None
    sample = _sample(semantics.config, published_ms, item, name)
    if math.isnan(sample.value):
        return None  # a staleness marker, or a quantile of nothing
    if rule is not None:
        return _part_of_requests(semantics, topic, sample, rule, (base, part))
    if named is not None:
        return _named(semantics, topic, sample, named)
    return _level(semantics, topic, sample, levels)


def _part_of_requests(
    semantics: Semantics, topic: str, sample: Sample, rule: RequestMetric, split: tuple[str, str]
) -> PointsReading | None:
    base, part = split
    labels, unit_ms = sample.labels, MS_PER_UNIT[rule.unit]
    service = first_text(labels, rule.service) if rule.service else ""
    if rule.service and not service:
        return None
    operation, failed = joined(labels, rule.operation), semantics.has_failed(labels)
    group = series_name(base, sorted((key, value) for key, value in labels.items() if key not in {"le", "quantile"}))
    value = sample.value
    if part == "bucket":
        meaning = SeriesMeaning(role="bucket", operation=operation, failed=failed, group=group, bound_ms=_bound(labels, unit_ms))
    elif part == "sum":
        meaning = SeriesMeaning(role="sum", operation=operation, failed=failed, group=group, unit_ms=unit_ms)
    elif part == "count":
        meaning = SeriesMeaning(role="requests", operation=operation, failed=failed, group=group)
    elif "quantile" in labels:
        name = QUANTILE_NAMES.get(number(_float(labels["quantile"], "quantile"), "quantile", 0.0, 1.0))
        if name is None:
            return None
        check_sum(value, 1, unit_ms)
        meaning, value = SeriesMeaning(role="quantile", operation=operation, group=group, quantile=name), value * unit_ms
    else:
        meaning = SeriesMeaning(role="requests", operation=operation, failed=failed)
    point = Point(sample.at_ms, 0, number(value, "value", 0.0, float(MAX_TOTAL)))
    return PointsReading(
        origin=semantics.origin(topic, labels, operation=operation, service=service),
        time_ms=sample.at_ms,
        points=[(series_name(sample.name, sorted(labels.items())), meaning, point)],
    )


def _named(semantics: Semantics, topic: str, sample: Sample, rule: NamedSignal) -> Reading | None:
    if not is_named(rule, sample.labels):
        return None
    if rule.form == "gauge":
        return named_level(rule, semantics.origin(topic, sample.labels), sample.at_ms, sample.value)
    name = series_name(sample.name, sorted(sample.labels.items()), "amount", rule.name)
    point = Point(sample.at_ms, 0, number(sample.value, "value", 0.0, float(MAX_TOTAL)))
    return named_amount(rule, semantics.origin(topic, sample.labels), name, point)


def _level(semantics: Semantics, topic: str, sample: Sample, rules: Iterable[SaturationMetric]) -> Reading | None:
    found = rule_for(rules, sample.labels)
    if found is None:
        return None
    config, rule = semantics.config, found[0]
    origin = semantics.origin(topic, sample.labels)
    about = About(*found, origin, sample.at_ms, resource_name(config, rule, sample.labels))
    if not rule.counter and not sample.name.endswith("_total"):
        return level_of(config, about, sample.value)
    labels = sorted(sample.labels.items())
    together = [label for label in labels if label[0] not in rule.attribute]
    names = series_name(sample.name, labels), series_name(sample.name, together)
    return counted(config, about, names, number(sample.value, "value", 0.0, float(MAX_TOTAL)))


def _split(name: str) -> tuple[str, str]:
    for ending, part in _PARTS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), part
    return name, ""


def _name(item: dict[str, object]) -> str:
    name = item.get("name")
    if name is None:
        name = _labels(item).get("__name__")
    if name is None:
        raise missing("name")
    if type(name) is not str or not 0 < len(name) <= 256:
        raise refused(RejectReason.INVALID_TEXT, "name", "must be text of 1 to 256 characters", name)
    return name


def _labels(item: dict[str, object]) -> dict[str, object]:
    labels = item.get("labels")
    return labels if type(labels) is dict else {}


def _sample(config: IngestConfig, published_ms: int, item: dict[str, object], name: str) -> Sample:
    given = item.get("labels")
    if given is not None and type(given) is not dict:
        raise refused(RejectReason.WRONG_TYPE, "labels", "must be an object", given)
    labels = {}
    for key, value in (given or {}).items():
        if type(value) is not str:
            raise refused(RejectReason.WRONG_TYPE, "labels", f"must be texts, {shown(key)} is not", value)
        if key != "__name__":
            labels[key] = value
    if len(labels) > config.max_attributes:
        raise refused(RejectReason.TOO_MANY_ATTRIBUTES, "labels", f"must be at most {config.max_attributes}", len(labels))
    at_ms = reading_time(config, item.get("timestamp"), "timestamp", published_ms)
    return Sample(name, labels, _float(item.get("value"), "value"), at_ms)


def _bound(labels: dict[str, str], unit_ms: float) -> float | None:
    if "le" not in labels:
        raise missing("labels.le")
    bound = _float(labels["le"], "labels.le")
    if bound == math.inf:
        return None
    return number(bound * unit_ms, "labels.le", 0.0, MAX_DURATION_MS)


def _float(value: object, field: str) -> float:
    """Return the number that a text of Go's makes (also ``NaN`` and ``+Inf``)."""
    if value is None:
        raise missing(field)
    if type(value) is not str or len(value) > 400 or "_" in value:
        raise refused(RejectReason.WRONG_TYPE, field, "must be a number as text", value)
    try:
        return float(value)
    except ValueError:
        raise refused(RejectReason.WRONG_TYPE, field, "must be a number as text", value) from None
