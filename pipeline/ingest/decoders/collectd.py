"""collectd's write_kafka, Format JSON and Format Command: value lists of a host, which say how full its resources are."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Origin, Reading, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.decoders.levels import About, counted, level_of, named_level, resource_name, rule_for
from pipeline.ingest.decoders.otlp_points import series_name
from pipeline.ingest.semantics import Semantics, is_named, semantics_of
from pipeline.ingest.times import reading_time
from pipeline.ingest.validation import missing, refused

# The group repeats greedily, with possessive classes inside: before Python 3.11.5 a possessive group may match wrongly.
_PUTVAL = re.compile(
    r'PUTVAL\s+"?([^/"\s]+)/([^/"\s-]+)(?:-([^/"]*?))?/([^/"\s-]+)(?:-([^"]*?))?"?((?:\s++\w++=\S++)*)\s+([0-9.]{1,20}|N):(\S+)\s*'
)
_COUNTERS = frozenset({"counter", "derive"})
_GAUGES = frozenset({"gauge", ""})
"""A PUTVAL line does not say which it is: the rule does."""
_MAX_LINE = 1_024
"""Ten times what collectd writes; what is longer would cost the pattern its square."""


class ValueList(NamedTuple):
    """One value of a value list, by its names; ``kind``: gauge, counter, derive, absolute, or empty where it is not told."""

    host: str
    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    source: str
    value: float
    at: object
    kind: str = ""


def decode_collectd(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message in JSON (an array of value lists) or of PUTVAL lines holds; each value is one reading.

    Counters are rates in JSON, as write_kafka makes them (``StoreRates true``, its default); in lines they are themselves,
    because write_kafka leaves them so whatever it is told.
    """
    return _decoded(config, topic, record, _rates_from_json)


def decode_collectd_counters(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return the same of counters as they are (``StoreRates false``): nothing in a message tells the two apart."""
    return _decoded(config, topic, record, _from_json)


def _decoded(
    config: IngestConfig, topic: str, record: InRecord, from_json: Callable[[Harvest, object], Iterator[ValueList]]
) -> Decoded:
    value = record.value or b""
    harvest, semantics = Harvest(), semantics_of(config)
    if value.lstrip()[:1] in {b"[", b"{"}:
        parsed = json_records(config, value)
        if isinstance(parsed, Rejection):
            return Decoded(rejections=[parsed])
        items: Sequence[object] = parsed
        read = from_json
    else:
        items = [line for line in value.split(b"\n") if line.strip()][: config.max_records_per_message]
        read = _from_line
    for item in items:
        harvest.index += 1
        try:
            for one in read(harvest, item):
                _take(harvest, semantics, record=record, topic=topic, one=one)
        except FieldRefused as refusal:
            harvest.refuse(refusal)
    return harvest.decoded()


def _take(harvest: Harvest, semantics: Semantics, *, record: InRecord, topic: str, one: ValueList) -> None:
    config, metric = semantics.config, f"collectd.{one.plugin}.{one.type}"
    rules, named = semantics.saturation_rules(metric), semantics.named_signal(metric)
    labels = {"plugin_instance": one.plugin_instance, "type_instance": one.type_instance, "dsname": one.source}
    reading: Reading | None = None
    if named is not None and named.form == "gauge":
        if is_named(named, labels) and one.kind in _GAUGES:
            at_ms, origin = _when_and_whose(semantics, topic, record, one)
            reading = named_level(named, origin, at_ms, one.value)
    elif found := rule_for(rules, labels):
        at_ms, origin = _when_and_whose(semantics, topic, record, one)
        reading = _reading(config, one, About(*found, origin, at_ms, resource_name(config, found[0], labels)))
    elif not rules:
        harvest.unmapped[metric] = harvest.unmapped.get(metric, 0) + 1
    if reading is None:
        harvest.n_ignored += 1
    else:
        harvest.readings.append(reading)


def _when_and_whose(semantics: Semantics, topic: str, record: InRecord, one: ValueList) -> tuple[int, Origin]:
    published_ms = record.timestamp_ms
    at_ms = published_ms if one.at == "N" else reading_time(semantics.config, one.at, "time", published_ms)
    return at_ms, semantics.origin(topic, {"host.name": one.host})


def _reading(config: IngestConfig, one: ValueList, about: About) -> Reading | None:
    """Return a counter's reading as a raw point, a gauge's as ever. A PUTVAL line does not say which it is: the rule does."""
    if one.kind == "absolute":
        return None  # counted since it was last read, which nobody tells
    if not (one.kind in _COUNTERS or (not one.kind and about.rule.counter)):
        return level_of(config, about, one.value)
    whole = [one.host, one.plugin, one.plugin_instance, one.type]
    names = series_name(*whole, one.type_instance, one.source), series_name(*whole, about.resource)
    return counted(config, about, names, one.value)


def _rates_from_json(harvest: Harvest, item: object) -> Iterator[ValueList]:
    """Yield values as ``StoreRates true`` leaves them: the rate of a counter is a gauge."""
    return (one._replace(kind="gauge") for one in _from_json(harvest, item))


def _from_json(harvest: Harvest, item: object) -> Iterator[ValueList]:
    if type(item) is not dict:
        raise refused(RejectReason.WRONG_TYPE, "", "a value list must be an object", item)
    host, plugin, kind = (_text(item, key) for key in ("host", "plugin", "type"))
    plugin_instance, type_instance = _text(item, "plugin_instance"), _text(item, "type_instance")
    for key, name in (("host", host), ("plugin", plugin), ("type", kind)):
        if not name:
            raise missing(key)
    values, sources, kinds = item.get("values"), item.get("dsnames"), item.get("dstypes")
    if type(values) is not list or type(sources) is not list or len(values) != len(sources):
        raise refused(RejectReason.INCONSISTENT, "values", "must be an array as long as dsnames", values)
    if type(kinds) is not list or len(kinds) != len(values):
        kinds = [""] * len(values)
    for value, source, data_type in zip(values, sources, kinds, strict=True):
        if value is None:  # NaN and infinity, in collectd's JSON
            harvest.n_ignored += 1
            continue
        if type(value) not in {int, float}:
            raise refused(RejectReason.WRONG_TYPE, "values", "must be numbers", value)
        yield ValueList(host, plugin, plugin_instance, kind, type_instance, str(source), value, item.get("time"), str(data_type))


def _from_line(harvest: Harvest, item: object) -> Iterator[ValueList]:
    line = bytes(item).decode(errors="replace") if isinstance(item, bytes) else ""
    match = _PUTVAL.fullmatch(line) if len(line) <= _MAX_LINE else None
    if match is None:
        raise refused(RejectReason.INVALID_TEXT, "", 'a line must be PUTVAL "host/plugin-instance/type-instance" time:value', line)
    host, plugin, plugin_instance, kind, type_instance, _, at, values = match.groups()
    for i, text in enumerate(values.split(":")):
        if text in {"U", "nan", "-nan", "NaN"}:
            harvest.n_ignored += 1
            continue
        try:
            value = float(text)
        except ValueError:
            raise refused(RejectReason.WRONG_TYPE, "values", "must be numbers, or U", text) from None
        moment: object = at if at == "N" else _number(at)
        yield ValueList(host, plugin, plugin_instance or "", kind, type_instance or "", str(i), value, moment)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise refused(RejectReason.WRONG_TYPE, "time", "must be epoch seconds", text) from None


def _text(item: dict[str, object], key: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if type(value) is not str:
        raise refused(RejectReason.WRONG_TYPE, key, "must be text", value)
    return value
