"""Folding: each reading counts in exactly one partial, the order does not matter, and limits bound what is kept."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analyse.contributions import WindowRow
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupRow
from pipeline.analyse.window_outputs import Publisher, Rollup
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.limits import Limit
from pipeline.contracts.partial_sums import add_partial, copied, merge_partials
from pipeline.contracts.partials import (
    OTHER,
    OTHER_TEMPLATE,
    ChangeNote,
    FeedbackVerdict,
    GaugePartial,
    LevelPartial,
    OperationPartial,
    Partial,
    TemplatePartial,
)
from pipeline.contracts.readings import (
    CallReading,
    ChangeReading,
    FeedbackReading,
    GaugeReading,
    LevelReading,
    LogReading,
    Origin,
    Reading,
    RequestReading,
    SummaryReading,
)
from pipeline.errors import StateError
from pipeline.ingest.cardinality import limits_of
from pipeline.ingest.reduce import NO_ROOM, PartialKey, fold

CART = Origin(environment="prod", service="cart", version="1", operation="GET /")
BASE_MS = 1_767_571_200_000
CONFIG = IngestConfig()
WINDOW = WindowRow(environment="prod", service="cart", start_ms=BASE_MS, size_ms=10_000)

ORIGINS = st.builds(
    Origin,
    environment=st.sampled_from(["prod", "staging"]),
    service=st.sampled_from(["cart", "checkout"]),
    version=st.sampled_from(["", "1", "2"]),
    operation=st.sampled_from(["", "GET /", "POST /"]),
)
TIMES = st.integers(BASE_MS, BASE_MS + 30_000)
DURATIONS = st.floats(0, 1e6)


def histogram_of(values: Sequence[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


TRACES = st.sampled_from(["", "", "a1", "b2", "c3", "d4"])
REQUESTS = st.builds(RequestReading, origin=ORIGINS, time_ms=TIMES, duration_ms=DURATIONS, is_error=st.booleans(), trace_id=TRACES)
SUMMARIES = st.builds(
    SummaryReading,
    origin=ORIGINS,
    time_ms=TIMES,
    interval_ms=st.sampled_from([1, 10_000, 11_112, 60_000, 300_000]),
    requests=st.integers(5, 10),
    errors=st.integers(0, 5),
    latency=st.none() | st.lists(DURATIONS, max_size=5).map(histogram_of),
    quantiles_ms=st.none() | st.dictionaries(st.sampled_from(["p50", "mean"]), st.integers(0, 100).map(float)),
)
GAUGES = st.builds(
    GaugeReading,
    origin=ORIGINS,
    time_ms=TIMES,
    resource=st.sampled_from(["cpu", "pool"]),
    utilization=st.sampled_from([0.0, 0.25, 0.5, 1.5]),
)
LEVELS = st.builds(
    LevelReading,
    origin=ORIGINS,
    time_ms=TIMES,
    signal=st.sampled_from(["queue", "price"]),
    value=st.integers(-1_000_000, 1_000_000).map(lambda quarters: quarters / 4),
)
LOGS = st.builds(
    LogReading,
    origin=ORIGINS,
    time_ms=TIMES,
    severity=st.sampled_from(["info", "error"]),
    is_error=st.booleans(),
    is_request=st.booleans(),
    duration_ms=st.none() | DURATIONS,
    trace_id=TRACES,
    text=st.sampled_from(["", "took 3 ms", "took 17 ms", "no route to 10.0.0.1", "started\x00\u2028"]),
)
CHANGES = st.builds(
    ChangeReading, origin=ORIGINS, time_ms=TIMES, published_ms=TIMES, type=st.sampled_from(["deployment", "maintenance"])
)
FEEDBACK = st.builds(FeedbackReading, origin=ORIGINS, time_ms=TIMES, published_ms=TIMES, verdict=st.sampled_from(FeedbackVerdict))
READINGS: st.SearchStrategy[list[Reading]] = st.lists(
    st.one_of(REQUESTS, SUMMARIES, GAUGES, LEVELS, LOGS, CHANGES, FEEDBACK), max_size=30
)


def folded(readings: Sequence[Reading], config: IngestConfig = CONFIG) -> dict[PartialKey, Partial]:
    partials: dict[PartialKey, Partial] = {}
    for reading in readings:
        fold(partials, reading, config)
    return partials


def only(readings: Sequence[Reading], config: IngestConfig = CONFIG) -> Partial:
    (partial,) = folded(readings, config).values()
    return partial


def without_rounding(partials: dict[PartialKey, Partial]) -> dict[PartialKey, object]:
    """Return them for comparison: sums of floats to ten digits, notes in one order."""
    plain = {}
    for key, partial in partials.items():
        ordered = msgspec.structs.replace(
            partial, changes=sorted(partial.changes, key=repr), feedback=sorted(partial.feedback, key=repr)
        )
        plain[key] = rounded(msgspec.to_builtins(ordered, str_keys=True))
    return plain


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


@given(READINGS, st.randoms(use_true_random=False))
def test_the_order_of_readings_does_not_matter(readings: list[Reading], chance: object) -> None:
    shuffled = list(readings)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert without_rounding(folded(shuffled)) == without_rounding(folded(readings))


@given(READINGS)
def test_each_reading_counts_in_exactly_one_partial(readings: list[Reading]) -> None:
    partials = folded(readings)

    assert sum(partial.readings for partial in partials.values()) == len(readings)
    operations = [operation for partial in partials.values() for operation in partial.operations.values()]
    n_single = sum(
        isinstance(reading, RequestReading) or (isinstance(reading, LogReading) and reading.is_request) for reading in readings
    )
    n_summed = sum(reading.requests for reading in readings if isinstance(reading, SummaryReading))
    assert sum(operation.requests for operation in operations) == n_single + n_summed
    assert sum(len(partial.changes) for partial in partials.values()) == sum(isinstance(one, ChangeReading) for one in readings)
    assert sum(len(partial.feedback) for partial in partials.values()) == sum(isinstance(one, FeedbackReading) for one in readings)


@given(READINGS)
def test_a_partial_stands_under_its_own_key_and_window(readings: list[Reading]) -> None:
    for (service, start_ms, size_ms), partial in folded(readings).items():
        assert (service, start_ms, size_ms) == (f"{partial.environment}/{partial.service}", partial.start_ms, partial.size_ms)
        assert start_ms % size_ms == 0


@given(READINGS, st.integers(0, 30))
def test_partials_of_two_chunks_merge_to_that_of_one(readings: list[Reading], cut: int) -> None:
    first, second = folded(readings[:cut]), folded(readings[cut:])
    together = {
        key: merge_partials([part for part in (first.get(key), second.get(key)) if part is not None]) for key in {**first, **second}
    }

    assert without_rounding(together) == without_rounding(folded(readings))


@given(READINGS, READINGS)
def test_adding_in_place_is_merging_and_shares_nothing(readings: list[Reading], more: list[Reading]) -> None:
    first, second = folded(readings), folded(more)
    for key in {**first, **second}:
        parts = [part for part in (first.get(key), second.get(key)) if part is not None]
        expected, before = msgspec.json.encode(merge_partials(parts)), msgspec.json.encode(parts)

        total = copied(parts[0])
        for part in parts[1:]:
            add_partial(total, part)

        assert msgspec.json.encode(total) == expected
        for part in parts:
            add_partial(total, part)
        assert msgspec.json.encode(parts) == before
        assert not parts[0].templates or copied(parts[0]).templates is not parts[0].templates


@given(READINGS, READINGS, READINGS)
def test_a_rollup_that_was_said_stays_as_it_was_while_more_is_added(
    gone: list[Reading], shown: list[Reading], later: list[Reading]
) -> None:
    row = RollupRow(environment="prod", service="cart", start_ms=BASE_MS)
    for partial in folded(gone).values():
        row = row.folded(WINDOW, partial, 0)
    profile = Profile(environment="prod", service="cart")
    windows = [msgspec.structs.replace(WINDOW, base=partial, base_sources=("t/0",)) for partial in folded(shown).values()]
    stored = msgspec.json.encode((row, windows))
    said, unsaid = (Rollup(Publisher(WindowParams(), 0, None), profile, row, windows, None) for _ in range(2))
    before = list(said)
    assert list(said) == before
    said.settle()
    unsaid.settle()
    assert msgspec.json.encode((row, windows)) == stored

    for partial in folded(later).values():
        row = row.folded(WINDOW, partial, 0)

    assert list(unsaid) == before
    with pytest.raises(StateError):
        list(said)


@given(READINGS)
def test_readings_stay_as_they_are(readings: list[Reading]) -> None:
    before = msgspec.json.encode(readings)

    folded([*readings, *readings])

    assert msgspec.json.encode(readings) == before


def window_of(reading: Reading) -> tuple[int, int]:
    partial = only([reading])
    return partial.start_ms - BASE_MS, partial.size_ms


@pytest.mark.parametrize(("after_ms", "start_ms"), [(0, 0), (9_999, 0), (10_000, 10_000)])
def test_a_request_and_a_log_belong_to_the_window_of_their_time(after_ms: int, start_ms: int) -> None:
    time_ms = BASE_MS + after_ms

    assert window_of(RequestReading(origin=CART, time_ms=time_ms, duration_ms=1.0, is_error=False)) == (start_ms, 10_000)
    assert window_of(LogReading(origin=CART, time_ms=time_ms, severity="info", is_error=False)) == (start_ms, 10_000)


@pytest.mark.parametrize(("after_ms", "start_ms"), [(1, 0), (10_000, 0), (10_001, 10_000)])
def test_a_gauge_belongs_to_the_window_that_its_time_ends(after_ms: int, start_ms: int) -> None:
    assert window_of(GaugeReading(origin=CART, time_ms=BASE_MS + after_ms, resource="cpu", utilization=0.5)) == (start_ms, 10_000)


@pytest.mark.parametrize(
    ("after_ms", "interval_ms", "window"),
    [
        (10_000, 10_000, (0, 10_000)),
        (10_001, 10_000, (10_000, 10_000)),
        (60_000, 60_000, (0, 60_000)),
        (60_000, 11_111, (50_000, 10_000)),
        (60_000, 11_112, (0, 60_000)),
        (300_000, 300_000, (0, 300_000)),
        (300_000, 333_333, (0, 300_000)),
    ],
)
def test_a_summary_belongs_whole_to_the_window_of_its_last_millisecond(
    after_ms: int, interval_ms: int, window: tuple[int, int]
) -> None:
    reading = SummaryReading(origin=CART, time_ms=BASE_MS + after_ms, interval_ms=interval_ms, requests=1, errors=0)

    assert window_of(reading) == window


def test_a_change_belongs_to_the_window_in_which_it_was_published() -> None:
    announced = ChangeReading(
        origin=CART, time_ms=BASE_MS + 86_400_000, published_ms=BASE_MS + 10_000, type="maintenance", note="n"
    )

    partial = only([announced])

    assert partial.start_ms == BASE_MS + 10_000
    assert partial.changes == [ChangeNote(type="maintenance", time_ms=BASE_MS + 86_400_000, version="1", note="n")]


def test_requests_are_counted_by_outcome() -> None:
    readings: list[Reading] = [
        RequestReading(origin=CART, time_ms=BASE_MS, duration_ms=10.0, is_error=False),
        RequestReading(origin=CART, time_ms=BASE_MS, duration_ms=500.0, is_error=True),
        LogReading(origin=CART, time_ms=BASE_MS, severity="info", is_error=False, is_request=True, duration_ms=20.0),
        LogReading(origin=CART, time_ms=BASE_MS, severity="error", is_error=True, is_request=True),
        LogReading(origin=CART, time_ms=BASE_MS, severity="error", is_error=True),
    ]

    partial = only(readings)

    assert partial.operations == {
        "GET /": OperationPartial(requests=4, errors=2, latency_ok=histogram_of([10.0, 20.0]), latency_failed=histogram_of([500.0]))
    }
    assert (partial.readings, partial.logs, partial.versions) == (5, {"info": 1, "error": 2}, {"1": 5})


def test_summaries_add_up_and_their_quantiles_weigh_by_requests() -> None:
    def summed(requests: int, p50: float, latency: Histogram | None = None) -> SummaryReading:
        return SummaryReading(
            origin=CART,
            time_ms=BASE_MS + 1,
            interval_ms=10_000,
            requests=requests,
            errors=1,
            latency=latency,
            quantiles_ms={"p50": p50},
        )

    partial = only([summed(3, 10.0, histogram_of([1.0])), summed(1, 50.0, histogram_of([2.0])), summed(0, 9999.0)])

    operation = partial.operations["GET /"]
    assert (operation.requests, operation.errors) == (4, 3)
    assert operation.latency_mixed == histogram_of([1.0, 2.0])
    assert (operation.quantiles["p50"].weight, operation.quantiles["p50"].weighted_ms) == (4.0, 80.0)


def test_gauges_keep_number_sum_and_highest() -> None:
    readings = [GaugeReading(origin=CART, time_ms=BASE_MS + 1, resource="cpu", utilization=share) for share in (0.25, 0.75, 0.5)]

    assert only(readings).gauges == {"cpu": GaugePartial(n=3, sum=1.5, max=0.75)}


def test_levels_keep_number_sum_lowest_and_highest_of_either_sign() -> None:
    readings = [LevelReading(origin=CART, time_ms=BASE_MS + 1, signal="queue", value=value) for value in (-2.5, -7.0, -4.0)]

    assert only(readings).levels == {"queue": LevelPartial(n=3, sum=-13.5, min=-7.0, max=-2.5)}


@given(st.lists(st.lists(st.integers(-4_000, 4_000), min_size=1, max_size=5), min_size=1, max_size=4), st.randoms())
def test_levels_of_chunks_merge_exactly_in_any_order(chunks: list[list[int]], chance: object) -> None:
    def chunk(quarters: list[int]) -> Partial:
        return only([LevelReading(origin=CART, time_ms=BASE_MS + 1, signal="queue", value=n / 4) for n in quarters])

    parts = [chunk(quarters) for quarters in chunks]
    chance.shuffle(parts)  # type: ignore[attr-defined]

    values = [n / 4 for quarters in chunks for n in quarters]
    whole = LevelPartial(n=len(values), sum=sum(values), min=min(values), max=max(values))
    assert merge_partials([*parts]).levels == merge_partials([merge_partials(parts[:1]), *parts[1:]]).levels == {"queue": whole}


def request_of(operation: str, version: str = "") -> RequestReading:
    origin = Origin(environment="prod", service="cart", operation=operation, version=version)
    return RequestReading(origin=origin, time_ms=BASE_MS, duration_ms=1.0, is_error=False)


def test_operations_over_the_limit_count_as_other_and_none_is_lost() -> None:
    readings = [request_of(name) for name in ("a", "b", "", "c", "d", "a", OTHER)]

    partial = only(readings, IngestConfig(max_operations=2))

    assert {name: operation.requests for name, operation in partial.operations.items()} == {"a": 2, "b": 1, "": 1, OTHER: 3}


def test_what_is_called_other_itself_takes_no_room() -> None:
    partial = only([request_of(name) for name in (OTHER, "", "a", "b", "c")], IngestConfig(max_operations=2))

    assert set(partial.operations) == {OTHER, "", "a", "b"}


def test_versions_over_the_limit_count_as_other_and_no_version_counts_as_none() -> None:
    partial = only([request_of("a", version) for version in ("1", "2", "3", "4", "1", "")], IngestConfig(max_versions=2))

    assert partial.versions == {"1": 2, "2": 1, OTHER: 2}


def test_resources_over_the_limit_count_as_other() -> None:
    readings = [GaugeReading(origin=CART, time_ms=BASE_MS + 1, resource=name, utilization=0.5) for name in ("a", "b", "c", "d")]

    partial = only(readings, IngestConfig(max_resources=1))

    assert {name: gauge.n for name, gauge in partial.gauges.items()} == {"a": 1, OTHER: 3}


def test_where_the_least_recently_used_makes_room_its_counts_go_to_other_and_sums_stay() -> None:
    config = IngestConfig(max_operations=2, max_versions=1, max_resources=2, max_callees=1, names_over_limit="evict")
    named = [request_of(name, version) for name, version in (("a", "1"), ("", ""), ("b", "1"), ("a", "2"), ("c", "2"), (OTHER, ""))]
    gauges = [
        GaugeReading(origin=CART, time_ms=BASE_MS + 1, resource=name, utilization=value)
        for name, value in (("cpu", 0.9), ("disk", 0.5), ("cpu", 0.1), ("memory", 0.2), ("net", 0.3))
    ]
    calls = [CallReading(origin=CART, time_ms=BASE_MS, callee=name, is_error=name == "service/x") for name in ("service/x", "db/y")]

    partial = only([*named, *gauges, *calls], config)

    assert {name: operation.requests for name, operation in partial.operations.items()} == {"a": 2, "": 1, "c": 1, OTHER: 2}
    assert partial.versions == {"1": 7, OTHER: 4}
    held = {name: (gauge.n, gauge.sum, gauge.max) for name, gauge in partial.gauges.items()}
    assert held == {OTHER: (3, 1.5, 0.9), "memory": (1, 0.2, 0.2), "net": (1, 0.3, 0.3)}
    assert {name: (call.calls, call.errors) for name, call in partial.calls.items()} == {NO_ROOM: (1, 1), "db/y": (1, 0)}


def test_changes_over_the_limit_are_counted_without_their_notes() -> None:
    readings = [ChangeReading(origin=CART, time_ms=BASE_MS, published_ms=BASE_MS, type=f"t{i}") for i in range(5)]

    partial = only(readings, IngestConfig(max_changes=3))

    assert (partial.readings, [note.type for note in partial.changes]) == (5, ["t0", "t1", "t2"])


def test_environments_do_not_mix() -> None:
    staging = Origin(environment="staging", service="cart")

    partials = folded([request_of("a"), RequestReading(origin=staging, time_ms=BASE_MS, duration_ms=1.0, is_error=False)])

    assert set(partials) == {("prod/cart", BASE_MS, 10_000), ("staging/cart", BASE_MS, 10_000)}


def line_of(text: str, severity: str = "info", after_ms: int = 0) -> LogReading:
    return LogReading(origin=CART, time_ms=BASE_MS + after_ms, severity=severity, is_error=False, text=text)


def test_log_lines_that_say_the_same_are_counted_together_with_the_worst_severity_and_the_earliest_example() -> None:
    partial = only([line_of("took 17 ms", after_ms=2), line_of("took 3 ms", "error", after_ms=1), line_of("took 9 ms", after_ms=3)])

    assert partial.templates == {"took <*> ms": TemplatePartial(n=3, severity="error", example="took 3 ms", time_ms=BASE_MS + 1)}


def test_masked_lines_over_the_limit_are_counted_together_and_bad_ones_find_twice_the_room() -> None:
    said = [line_of(word) for word in ("a", "b", "c", "d", "a")] + [line_of(word, "error") for word in ("e", "f", "g")]

    partial = only(said, IngestConfig(max_templates=2))

    assert {line: one.n for line, one in partial.templates.items()} == {"a": 2, "b": 1, OTHER_TEMPLATE: 3, "e": 1, "f": 1}
    assert partial.templates[OTHER_TEMPLATE].severity == "error"
    assert list(limits_of(partial, IngestConfig(max_templates=2))) == [Limit.TEMPLATES]


def test_without_room_for_templates_no_line_is_looked_at() -> None:
    assert only([line_of("a")], IngestConfig(max_templates=0)).templates == {}


LINES = st.lists(
    st.builds(
        line_of,
        text=st.sampled_from(["took 3 ms", "took 17 ms", "took 4 ms", "no route"]),
        severity=st.sampled_from(["info", "warn", "error"]),
        after_ms=st.integers(0, 5),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES, st.integers(1, 11), st.randoms(use_true_random=False))
def test_log_lines_are_the_same_in_any_order_and_in_any_chunks(said: list[LogReading], cut: int, chance: object) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    whole = only(said).templates
    parts = [only(part) for part in (shuffled[:cut], shuffled[cut:]) if part]

    assert only(shuffled).templates == whole
    assert merge_partials(parts).templates == whole
    assert merge_partials(parts[::-1]).templates == whole
