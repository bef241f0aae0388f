"""Limits of a chunk: decided by what the chunk holds alone, in the order of the log, and nothing is uncounted."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contracts.codec import decode
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.limits import Limit
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.ingest.source import Owner, SourceParams, SourceReader

T0 = 1_700_000_100_000
SMALL = IngestConfig(max_services=3, chunk_partials=6, max_operations=2, max_versions=2, chunk_records=1_000)
EVICTING = replace(SMALL, services_over_limit="evict", names_over_limit="evict")
CONFIGS = pytest.mark.parametrize("config", [SMALL, EVICTING], ids=["other", "evict"])
Key = tuple[str, str, int]


def owner(now_ms: int) -> Owner:
    return Owner(now_ms=now_ms, generation=1, is_caught_up=False, heard_ms=now_ms, partitions={"telemetry.metrics": 1}, n_targets=1)


def request(
    service: str, *, environment: str = "live", at_ms: int = T0, operation: str = "a", version: str = ""
) -> dict[str, object]:
    return {
        "kind": "request",
        "environment": environment,
        "service": service,
        "time": at_ms,
        "duration_ms": 5.0,
        "status": 200,
        "operation": operation,
    } | ({"version": version} if version else {})


def records(*messages: object) -> list[InRecord]:
    return [InRecord(at, T0, None, json.dumps(message).encode()) for at, message in enumerate(messages)]


class Reading:
    """A reader that is fed in batches; what it flushed last of each chunk and partial is kept."""

    def __init__(self, config: IngestConfig = SMALL, position: int = 0) -> None:
        self.config = config
        self.reader = SourceReader(
            config=config,
            params=SourceParams(header_ms=1),
            source="telemetry.metrics/0",
            epoch=0,
            position=position,
            watermark_ms=None,
        )
        self.now_ms = T0
        self.partials: dict[int, dict[Key, Partial]] = {}
        self.limits: Counter[Limit] = Counter()
        self.n_readings = 0

    def feed(self, batch: Sequence[InRecord]) -> None:
        left = list(batch)
        while left:
            self.now_ms += 2
            outcome = self.reader.read(left, owner(self.now_ms))
            self.n_readings += outcome.counts.n_readings
            self.take(outcome.outputs)
            left = left[outcome.n_read :]
            if outcome.chunk_end is not None:
                self.reader.begin_chunk(self.config)
        self.now_ms += 2
        self.take(self.reader.rest(owner(self.now_ms)))

    def take(self, outputs: Sequence[OutRecord]) -> None:
        for output in outputs:
            if output.topic == "partials":
                bundle = decode(output.value or b"", Bundle)
                for partial in bundle.partials:
                    self.partials.setdefault(bundle.chunk, {})[partial.environment, partial.service, partial.start_ms] = partial
        self.limits += self.reader.take_limits()

    def readings(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for partials in self.partials.values():
            for (environment, service, _), partial in partials.items():
                found[environment, service] += partial.readings
        return found


def test_services_beyond_the_limit_of_a_chunk_count_as_other_of_their_environment() -> None:
    reading = Reading()
    names = ["a", "b", "a", "c", "x1", "x2", "b", "x1"]

    reading.feed(records(*(request(name) for name in names), request("a", environment="invented")))

    assert reading.readings() == {
        ("live", "a"): 2,
        ("live", "b"): 2,
        ("live", "c"): 1,
        ("live", "other"): 3,
        ("other", "other"): 1,
    }
    assert reading.limits[Limit.SERVICES] == 4


def test_where_services_make_room_the_chunk_ends_behind_the_message_that_brought_too_many() -> None:
    reading = Reading(EVICTING)
    names = ["a", "b", "a", "c", "a", "x1", "x2", "b", "x1"]

    reading.feed(records(*(request(name) for name in names), [request(name) for name in "defgh"], request("a")))

    assert {chunk: {service for _, service, _ in held} for chunk, held in reading.partials.items()} == {
        0: {"a", "b", "c", "x1"},
        6: {"x2", "b", "x1", "d", "e", "f", "g", "h"},
        10: {"a"},
    }
    assert sum(reading.readings().values()) == reading.n_readings == 15
    assert not any(service == "other" for _, service in reading.readings())
    assert reading.limits == {Limit.SERVICES: 2}


def test_as_many_services_as_the_limit_end_no_chunk() -> None:
    reading = Reading(EVICTING)

    reading.feed(records(*(request("abc"[n % 3]) for n in range(20))))

    assert list(reading.partials) == [0]
    assert reading.limits == {}


def test_the_operation_used_longest_ago_makes_room_and_what_it_counted_goes_to_other() -> None:
    reading = Reading(EVICTING)

    reading.feed(records(*(request("a", operation=name, version=f"v{name}") for name in "pqpprpss")))

    [partial] = reading.partials[0].values()
    assert {name: held.requests for name, held in partial.operations.items()} == {"p": 4, "s": 2, "other": 2}
    assert partial.versions == {"vp": 4, "vs": 2, "other": 2}
    assert reading.limits == {Limit.OPERATIONS: 1, Limit.VERSIONS: 1}


many = st.lists(
    st.lists(st.builds(lambda n, op: request(f"s{n}", operation=f"o{op}"), st.integers(0, 40), st.integers(0, 40)), max_size=5),
    max_size=60,
)


@settings(deadline=None, max_examples=40)
@given(sent=many, cut=st.integers(1, 60))
def test_whatever_arrives_memory_is_bounded_and_every_service_has_its_readings(sent: list[list[object]], cut: int) -> None:
    config = replace(EVICTING, chunk_partials=1_000)
    reading, log, most = Reading(config), records(*sent), 0
    for at in range(0, len(log), cut):
        reading.feed(log[at : at + cut])
        most = max(most, len(reading.reader._fold.partials))

    assert most <= config.max_services + 5
    assert all(
        len(partial.operations) <= config.max_operations + 1 for held in reading.partials.values() for partial in held.values()
    )
    asked = Counter(("live", str(one["service"])) for message in sent for one in message)  # type: ignore[index]
    assert reading.readings() == asked
    told = sum(
        operation.requests for held in reading.partials.values() for one in held.values() for operation in one.operations.values()
    )
    assert told == sum(asked.values())


def test_a_limit_is_told_once_a_chunk_however_often_it_is_flushed() -> None:
    reading = Reading()
    for n in range(5):
        reading.feed(
            [InRecord(n, T0, None, json.dumps([request("a", operation=f"o{i}", version=f"v{i}") for i in range(4)]).encode())]
        )

    assert reading.limits == {Limit.OPERATIONS: 1, Limit.VERSIONS: 1}


def test_what_is_within_all_limits_tells_nothing() -> None:
    reading = Reading()
    reading.feed(records(*(request(name, operation=operation) for name in "abc" for operation in "pq")))

    assert reading.limits == {}


def test_a_chunk_full_of_partials_ends_before_the_next_record() -> None:
    reading = Reading()
    reading.feed(records(*(request("a", at_ms=T0 - 10_000 * n) for n in range(20))))

    assert sorted(reading.partials) == [0, 6, 12, 18]
    assert reading.readings() == {("live", "a"): 20}


def test_one_message_may_fill_a_chunk_beyond_the_limit_and_is_not_cut() -> None:
    reading = Reading()
    many = [request("a", at_ms=T0 - 10_000 * n) for n in range(10)]
    reading.feed(records(request("a"), many, request("a"), request("a")))

    assert sorted(reading.partials) == [0, 2]
    assert reading.readings() == {("live", "a"): 13}


services = st.sampled_from(["a", "b", "c", "d", "e", "f", "other"])
messages = st.one_of(
    st.just("not a record"),
    st.lists(
        st.builds(
            lambda service, environment, window, operation, is_log: {
                **request(service, environment=environment, at_ms=T0 - 10_000 * window, operation=operation),
                **({"kind": "log", "severity": "info"} if is_log else {}),
            },
            services,
            st.sampled_from(["live", "test"]),
            st.integers(0, 3),
            st.sampled_from("pqrs"),
            st.booleans(),
        ),
        min_size=1,
        max_size=70,
    ),
)


@CONFIGS
@settings(deadline=None, max_examples=40)
@given(
    sent=st.lists(messages, min_size=1, max_size=12),
    first=st.lists(st.integers(1, 9), max_size=40),
    second=st.lists(st.integers(1, 9), max_size=40),
)
def test_however_a_chunk_is_read_its_partials_and_its_end_are_the_same(
    config: IngestConfig, sent: list[object], first: list[int], second: list[int]
) -> None:
    log = records(*sent)
    once, again = Reading(config), Reading(config)
    for reading, cuts in ((once, first), (again, second)):
        at = 0
        for n in [*cuts, len(log)]:
            reading.feed(log[at : at + n])
            at += n

    assert once.partials == again.partials
    assert sum(once.readings().values()) == once.n_readings == again.n_readings


@CONFIGS
@settings(deadline=None, max_examples=40)
@given(sent=st.lists(messages, min_size=5, max_size=12), restart=st.integers(0, 10))
def test_a_chunk_read_again_by_another_owner_is_the_same(config: IngestConfig, sent: list[object], restart: int) -> None:
    log = records(*sent)
    whole = Reading(config)
    whole.feed(log)
    chunk = sorted(whole.partials)[restart % len(whole.partials)] if whole.partials else 0

    resumed = Reading(config, position=chunk)
    resumed.feed(log[chunk:])

    assert resumed.partials == {name: held for name, held in whole.partials.items() if name >= chunk}


def test_a_limit_that_remembers_what_came_before_the_chunk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    open_chunk = SourceReader._open_chunk

    def keep_services(reader: SourceReader, config: IngestConfig) -> None:
        known = getattr(reader, "_fold", None)
        open_chunk(reader, config)
        if known is not None:
            reader._fold.services = known.services

    log = records(*(request("abcdef"[n // 6], at_ms=T0 - 10_000 * n) for n in range(36)))
    right, wrong = Reading(), Reading()
    right.feed(log)
    monkeypatch.setattr(SourceReader, "_open_chunk", keep_services)
    wrong.feed(log)
    resumed = Reading(position=18)
    resumed.feed(log[18:])

    assert right.readings() == {("live", name): 6 for name in "abcdef"}
    assert wrong.partials[18] != resumed.partials[18]
