"""What is sound in each section of the configuration, and wrong between them."""

from collections.abc import Mapping
from typing import Any

from pipeline.adapters.faust_timeouts import TIMEOUTS
from pipeline.analyse.detection import DetectionParams
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.topics import Topics
from pipeline.ingest.decoders.registry import DECODERS


def contradictions(sections: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between the sections, each of which is sound: a sentence each, with file and key."""
    return [
        *_of_topics(sections["ingest"], sections["topics"]),
        *_of_signals(sections["ingest"], sections["detection"]),
        *_of_times(sections),
        *_of_sizes(sections["ingest"]),
    ]


def _of_sizes(ingest: IngestConfig) -> list[str]:
    least, got = ingest.max_message_bytes, ingest.max_batch_bytes
    return (
        [] if got >= least else [f"tocsin.yaml: ingest: max_batch_bytes: must be at least max_message_bytes ({least}), got {got}"]
    )


def _of_topics(ingest: IngestConfig, topics: Topics) -> list[str]:
    names = {spec.name for spec in topics.topics}
    problems = [
        f"tocsin.yaml: ingest: decoders: topic {topic!r} is not in topics.yaml" for topic in ingest.decoders if topic not in names
    ]
    problems += [
        f"tocsin.yaml: ingest: origins: topic {topic!r} has no decoder" for topic in ingest.origins if topic not in ingest.decoders
    ]
    problems += [
        f"tocsin.yaml: ingest: decoders.{topic}: must be one of {', '.join(sorted(DECODERS))}, "
        f"or a decoder that an installed package brings, got {decoder!r}"
        for topic, decoder in ingest.decoders.items()
        if decoder not in DECODERS
    ]
    return problems


def _of_signals(ingest: IngestConfig, detection: DetectionParams) -> list[str]:
    signals = ingest.semantic.signals
    named = {one.name for one in signals}
    gauges = {one.name for one in signals if one.form == "gauge"}
    problems = [
        f"detection.yaml: signals: {signal.name!r} is no signal of semantic.yaml"
        for signal in detection.signals
        if signal.name not in named
    ]
    problems += [
        f"detection.yaml: signals: {signal.name!r} is a counter, whose least effect only `times` can say"
        for signal in detection.signals
        if signal.name in named - gauges and (signal.plus or signal.page_plus)
    ]
    problems += [
        f"semantic.yaml: signals: {signal.name!r} has states, but no attribute that would hold one"
        for signal in signals
        if signal.states and not signal.attribute
    ]
    problems += [
        f"semantic.yaml: signals: {signal.name!r} is a counter of {metric!r}, but collectd's counters cannot be named, "
        "and their rates are gauges (form: gauge)"
        for signal in signals
        for metric in signal.metric
        if signal.form == "counter" and metric.startswith("collectd.")
    ]
    return problems


def _of_times(sections: Mapping[str, Any]) -> list[str]:
    source, windows, profile = sections["source"], sections["windows"], sections["worker"].profile
    problems = []
    if source.delay_ms != windows.delay_ms:
        problems.append(
            f"tocsin.yaml: source: delay_ms must be windows.delay_ms ({windows.delay_ms}), got {source.delay_ms}: "
            "partials would be sent when nobody waits for them"
        )
    session_ms = round(TIMEOUTS["local" if profile == "embedded" else profile].session_s * 1000)
    if windows.grace_ms < session_ms:
        problems.append(
            f"tocsin.yaml: windows: grace_ms must be at least the session timeout of profile {profile} ({session_ms}), "
            f"got {windows.grace_ms}: what waits for a take-over would be late"
        )
    return problems
