"""The stages in process: several partitions give what one gives, and an idle one holds nothing back."""

import json
from collections.abc import Iterable

from pipeline.backtest.chain import FILES, Chain, Source, learning_stages
from pipeline.contracts.anomalies import Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.records import OutRecord
from pipeline.settings import load_settings

METRICS, CHANGES = "telemetry.metrics", "tocsin.changes"
START_S = 1_767_571_200


def record(service: str, time_s: int) -> bytes:
    fields = {"kind": "summary", "service": service, "time": time_s, "interval_s": 10, "requests": 20, "errors": 0}
    return json.dumps(fields).encode()


def windows(sources: Iterable[Source], places: dict[str, Source], *, is_drained: bool = True) -> set[tuple[str, int]]:
    """Return (service, window end) of every verdict over half an hour, when each service's records come from its place."""
    seen: set[tuple[str, int]] = set()

    def heard(output: OutRecord) -> None:
        if output.topic == "anomalies" and output.value is not None:
            verdict = decode(output.value, Verdict)
            seen.add((verdict.service, verdict.window_end_ms))

    chain = Chain(load_settings(env={}), heard, sources=sources)
    for time_s in range(START_S + 10, START_S + 1800, 10):
        for service, source in places.items():
            chain.feed(record(service, time_s), time_s * 1000, source)
    if is_drained:
        chain.drain()
    return seen


def test_services_on_several_partitions_have_the_windows_that_they_have_on_one() -> None:
    file = (FILES, 0)
    together = windows([file], {"a": file, "b": file})

    apart = windows([(METRICS, 0), (METRICS, 1)], {"a": (METRICS, 0), "b": (METRICS, 1)})

    assert together == apart
    assert len(together) == 2 * 179


def test_partitions_without_records_do_not_hold_the_windows_back() -> None:
    sources = [(METRICS, 0), (METRICS, 1), (CHANGES, 0)]
    published = windows(sources, {"a": (METRICS, 0)}, is_drained=False)

    assert len(published) >= 176


def test_stages_that_only_learn_tell_nobody() -> None:
    settings = load_settings(env={})
    topics: set[str] = set()
    chain = Chain(settings, lambda output: topics.add(output.topic), stages=learning_stages(settings))

    chain.feed(record("a", START_S), START_S * 1000)
    chain.feed(record("a", START_S + 60), START_S * 1000 + 60_000)

    assert "anomalies" in topics
    assert not topics & {"alert-events", "alerts"}
