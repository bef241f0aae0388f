"""The detection stage: a verdict for every closed window, once, and a state that survives."""

import random

import msgspec
import pytest

from pipeline.analyse.detection import DetectionParams, DetectionStage, restore
from pipeline.analyse.profile_params import PageFast, PageProfile, Profiles
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.records import InRecord
from pipeline.contracts.rows import HEAD, pack
from pipeline.contracts.signals import (
    Completeness,
    Errors,
    LateCount,
    Latency,
    Notice,
    NoticeKind,
    Saturation,
    Signals,
    Traffic,
)
from pipeline.errors import RecordInvalid, StateError

START_MS = 1_767_571_200_000
PARAMS = DetectionParams(ready_windows=60)
SNAPSHOT = "models\tprod/cart"


def signals(
    i: int,
    *,
    service: str = "cart",
    requests: int = 50,
    errors: int = 0,
    ms: float = 100.0,
    cpu: float = 0.4,
    silent: bool = False,
    revision: int = 1,
    rollup: bool = False,
    size_ms: int = 10_000,
    histogram: bool = True,
) -> Signals:
    draw = random.Random(f"{service}{i}")
    latencies = Histogram()
    for _ in range(0 if silent else requests):
        latencies.add(ms * draw.lognormvariate(0, 0.4))
    n = 0 if silent else requests
    return Signals(
        id="x",
        environment="prod",
        service=service,
        version="1.0",
        window_start_ms=START_MS + i * size_ms,
        window_end_ms=START_MS + (i + 1) * size_ms,
        revision=revision,
        rollup=rollup,
        latency=Latency(count=n, mean_ms=latencies.mean, p95_ms=latencies.quantile(0.95)) if n else None,
        traffic=Traffic(requests=n, requests_per_second=n * 1000 / size_ms),
        errors=Errors(count=0 if silent else errors),
        saturation={} if silent else {"cpu": Saturation(mean=cpu, max=cpu)},
        completeness=Completeness(readings=0 if silent else n + 1, late=0, sources=1, delay_ms=3000),
        histogram=latencies if n and histogram else None,
    )


class Feed:
    """Feeds a stage as the shell does, with offsets that count up."""

    def __init__(self, stage: DetectionStage) -> None:
        self.stage = stage
        self.offset = stage.applied + 1

    def __call__(self, record: Signals | Notice | LateCount) -> Verdict | None:
        outputs = self.stage.step(InRecord(offset=self.offset, timestamp_ms=0, key=None, value=encode(record)), now_ms=0)
        self.offset += 1
        if not outputs:
            return None
        (output,) = outputs
        assert output.value is not None
        return decode(output.value, Verdict)


def trained(n: int = 400) -> Feed:
    feed = Feed(restore(PARAMS, 3, {}))
    for i in range(n):
        feed(signals(i))
    return feed


def stored(feed: Feed) -> dict[str, bytes]:
    """Return what a checkpoint writes."""
    return {name: row for name, row in feed.stage.take_changes().items() if row is not None}


def finding(verdict: Verdict | None, condition: str) -> Finding:
    assert verdict is not None
    return next(one for one in verdict.findings if one.condition == condition)


def test_every_first_publication_gets_one_verdict_and_revisions_and_rollups_get_none() -> None:
    feed = Feed(restore(PARAMS, 3, {}))

    first, revised, again, rollup, empty = (
        feed(signals(0)),
        feed(signals(1, revision=2)),
        feed(signals(0)),
        feed(signals(1, rollup=True)),
        feed(signals(1, silent=True)),
    )

    assert first is not None
    assert empty is not None
    assert (revised, again, rollup) == (None, None, None)


def test_a_verdict_goes_to_the_same_partition_and_has_a_reproducible_id() -> None:
    record = InRecord(offset=0, timestamp_ms=0, key=None, value=encode(signals(0)))

    (one,) = restore(PARAMS, 3, {}).step(record, now_ms=0)
    (other,) = restore(PARAMS, 3, {}).step(record, now_ms=99)

    assert (one.topic, one.key, one.partition) == ("anomalies", "prod/cart", 3)
    assert one == other


def test_nothing_is_judged_before_enough_was_seen() -> None:
    feed = Feed(restore(PARAMS, 3, {}))

    verdict = feed(signals(0, requests=500, errors=500))

    assert finding(verdict, "errors").judgement is Judgement.NOT_READY
    assert finding(verdict, "errors").score is None


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ("latency", {"ms": 400.0}),
        ("errors", {"errors": 15}),
        ("traffic", {"requests": 2}),
        ("saturation:cpu", {"cpu": 0.99}),
        ("silence", {"silent": True}),
    ],
)
def test_a_hard_fault_is_anomalous_in_its_first_window_and_a_page_by_its_second(condition: str, fault: dict[str, float]) -> None:
    feed = trained()

    first = feed(signals(400, **fault))  # type: ignore[arg-type]
    second = feed(signals(401, **fault))  # type: ignore[arg-type]

    assert finding(first, condition).judgement is Judgement.ANOMALOUS
    found = finding(second, condition)
    assert found.judgement is Judgement.ANOMALOUS
    assert found.severity is Severity.PAGE
    assert not found.is_recovered
    assert found.observed is not None
    assert found.explanation


def test_quiet_days_bring_no_finding() -> None:
    feed, n_anomalous = trained(), 0

    for i in range(400, 1400):
        verdict = feed(signals(i))
        assert verdict is not None
        n_anomalous += any(one.judgement is Judgement.ANOMALOUS for one in verdict.findings)

    assert n_anomalous <= 1


def test_what_happens_in_an_outage_is_not_learned() -> None:
    feed = trained()
    for i in range(400, 700):
        during = feed(signals(i, ms=400.0))
    for i in range(700, 760):
        after = feed(signals(i))
    again = feed(signals(760, ms=400.0))

    assert finding(during, "latency").judgement is Judgement.ANOMALOUS
    assert finding(after, "latency").is_recovered
    assert finding(again, "latency").judgement is Judgement.ANOMALOUS


def test_an_alarm_that_never_ends_becomes_the_new_normal() -> None:
    params = DetectionParams(ready_windows=60, max_alarm_s=600)
    feed = Feed(restore(params, 0, {}))
    for i in range(400):
        feed(signals(i))

    for i in range(400, 700):
        verdict = feed(signals(i, ms=400.0))

    assert finding(verdict, "latency").judgement is Judgement.NORMAL


def test_a_silent_window_says_nothing_of_latency() -> None:
    verdict = trained()(signals(400, silent=True))

    assert finding(verdict, "latency").judgement is Judgement.NO_DATA


def test_five_minute_windows_without_a_histogram_are_judged_too() -> None:
    feed = Feed(restore(PARAMS, 3, {}))
    for i in range(200):
        feed(signals(i, size_ms=300_000, histogram=False, requests=400))

    verdict = feed(signals(200, size_ms=300_000, histogram=False, requests=400, ms=250.0, errors=60))

    assert finding(verdict, "latency").judgement is Judgement.ANOMALOUS
    assert finding(verdict, "errors").judgement is Judgement.ANOMALOUS


def test_a_service_that_went_over_to_wider_windows_starts_again_and_stragglers_are_skipped() -> None:
    feed = trained()

    wide = feed(signals(100, size_ms=60_000))
    straggler = feed(signals(401))

    assert finding(wide, "latency").judgement is Judgement.NOT_READY
    assert straggler is None


def test_a_retired_service_is_told_and_forgotten() -> None:
    feed = trained()
    notice = Notice(id="n", notice=NoticeKind.SERVICE_RETIRED, at_ms=START_MS, text="gone", environment="prod", service="cart")
    kept = feed.stage.take_changes()

    verdict = feed(notice)

    assert verdict is not None
    assert verdict.retired
    assert SNAPSHOT in kept
    assert feed.stage.take_changes()[SNAPSHOT] is None


def test_over_its_limit_the_service_heard_of_least_recently_goes() -> None:
    feed = Feed(restore(DetectionParams(max_services=2), 0, {}))

    for i, name in enumerate(["a", "b", "a", "c"]):
        feed(signals(i, service=name))

    rows = feed.stage.take_changes()
    assert rows["models\tprod/b"] is None
    assert rows["models\tprod/a"] is not None
    assert feed.stage.n_evicted == 1


def test_a_restored_stage_goes_on_exactly_like_the_one_that_never_stopped() -> None:
    feed = trained(200)
    rows = {name: row for name, row in feed.stage.take_changes().items() if row is not None}

    restored = Feed(restore(PARAMS, 3, rows))

    assert restored.offset == feed.offset
    for i in range(200, 260):
        window = signals(i, ms=100.0 if i < 240 else 300.0)
        assert restored(window) == feed(window)


def test_a_row_written_after_the_head_is_not_applied_twice() -> None:
    feed = trained(200)
    kept = stored(feed)
    feed(signals(200))
    rows = {name: row for name, row in feed.stage.take_changes().items() if row is not None and name != HEAD}
    assert list(rows) == ["prod/cart\tdetectors\t0"]

    again = Feed(restore(PARAMS, 3, kept | rows))

    assert again(signals(200)) is None
    assert again(signals(201)) is not None


def test_an_old_copy_of_a_deleted_row_does_not_come_back() -> None:
    feed = trained(100)
    old = feed.stage.take_changes()[SNAPSHOT]
    feed(Notice(id="n", notice=NoticeKind.SERVICE_RETIRED, at_ms=START_MS, text="gone", environment="prod", service="cart"))
    head = feed.stage.take_changes()[HEAD]
    assert old is not None
    assert head is not None

    stage = restore(PARAMS, 3, {HEAD: head, SNAPSHOT: old})

    assert finding(Feed(stage)(signals(101)), "latency").judgement is Judgement.NOT_READY


def test_an_unreadable_head_row_is_a_clear_error() -> None:
    with pytest.raises(StateError, match="head"):
        restore(PARAMS, 0, {HEAD: pack(1, b"{")})


def test_what_is_no_signals_record_is_refused() -> None:
    with pytest.raises(RecordInvalid):
        restore(PARAMS, 0, {}).step(InRecord(offset=0, timestamp_ms=0, key=None, value=b"[]"), now_ms=0)


def test_a_service_needs_at_most_16_kilobytes() -> None:
    feed = trained(1500)

    snapshot = feed.stage.take_changes()[SNAPSHOT]

    assert snapshot is not None
    assert len(snapshot) <= 16 * 1024


@pytest.mark.parametrize("length_ms", [0, -1, -10_000])
def test_a_window_without_length_is_refused_as_a_record_and_the_stage_goes_on(length_ms: int) -> None:
    feed = trained(3)
    broken = msgspec.structs.replace(signals(3), window_end_ms=START_MS + 30_000 + length_ms)

    with pytest.raises(RecordInvalid, match="has no length"):
        feed(broken)
    feed.offset += 1

    assert feed(signals(3)) is not None


def test_a_utilization_beyond_all_measure_is_refused_as_a_record() -> None:
    feed = trained(3)

    with pytest.raises(RecordInvalid, match="utilization"):
        feed(signals(3, cpu=1e200))


@pytest.mark.parametrize(("p95", "is_proof"), [(1.0, False), (3.0, True)])
def test_a_ready_made_mean_that_is_high_alone_is_no_proof_by_itself(p95: float, is_proof: bool) -> None:
    feed = Feed(restore(PARAMS, 3, {}))

    def window(i: int, mean: float, slow: float) -> Signals:
        record = signals(i, size_ms=300_000, histogram=False)
        assert record.latency is not None
        ready_made = Latency(count=50, mean_ms=(record.latency.mean_ms or 0) * mean, p95_ms=(record.latency.p95_ms or 0) * slow)
        return msgspec.structs.replace(record, latency=ready_made)

    for i in range(300):
        feed(window(i, 1.0, 1.0))

    found = finding(feed(window(300, 3.0, p95)), "latency")

    assert found.judgement is Judgement.ANOMALOUS
    assert ("threshold" in found.explanation) is is_proof


def test_a_wide_window_that_is_not_quiet_again_confirms_the_one_before_and_a_quiet_one_does_not() -> None:
    judged = {}
    for name, second in (("still high", 115.0), ("quiet", 100.0)):
        feed = Feed(restore(PARAMS, 3, {}))
        for i in range(300):
            feed(signals(i, size_ms=300_000))
        assert finding(feed(signals(300, ms=140.0, size_ms=300_000)), "latency").judgement is Judgement.ANOMALOUS
        judged[name] = finding(feed(signals(301, ms=second, size_ms=300_000)), "latency")

    assert judged["still high"].explanation.get("confirms") == 1.0
    assert judged["still high"].judgement is Judgement.ANOMALOUS
    assert judged["still high"].upper is None
    assert judged["quiet"].judgement is Judgement.NORMAL


@pytest.mark.parametrize("size_ms", [10_000, 300_000])
def test_an_anomalous_finding_that_tells_a_band_lies_outside_of_it(size_ms: int) -> None:
    feed, seen = Feed(restore(PARAMS, 3, {})), 0
    for i in range(800):
        draw = random.Random(i)
        is_bad = i > 400 and (i // 25) % 3 == 0
        record = signals(
            i,
            size_ms=size_ms,
            requests=0 if is_bad and draw.random() < 0.1 else draw.randint(40, 60) // (draw.choice((1, 1, 3)) if is_bad else 1),
            errors=draw.choice((0, 1, 2, 10)) if is_bad else int(draw.random() < 0.1),
            ms=100.0 * (draw.choice((1.0, 1.2, 1.5, 3.0)) if is_bad else 1.0),
            cpu=draw.choice((0.4, 0.95, 0.97, 1.1)) if is_bad else 0.4,
            silent=is_bad and draw.random() < 0.2,
        )
        verdict = feed(record)
        assert verdict is not None
        for one in verdict.findings:
            if one.judgement is Judgement.ANOMALOUS and one.observed is not None and one.upper is not None:
                assert not (one.lower or 0.0) <= one.observed <= one.upper, one
                seen += 1

    assert seen > 50


@pytest.mark.parametrize(
    ("second", "is_confirmed"),
    [
        pytest.param({"errors": 30}, True, id="as bad"),
        pytest.param({"errors": 8}, False, id="errors abate"),
        pytest.param({"ms": 300.0}, True, id="as slow"),
        pytest.param({"ms": 165.0}, False, id="latency abates"),
    ],
)
def test_a_short_window_that_is_half_over_does_not_confirm_the_one_before(second: dict[str, float], is_confirmed: bool) -> None:
    feed = trained(900)
    condition = "errors" if "errors" in second else "latency"
    first = {"errors": 45} if condition == "errors" else {"ms": 400.0}
    n_seen = finding(feed(signals(900, **first)), condition).n_seen

    abating = finding(feed(signals(901, **second)), condition)

    assert (abating.judgement is Judgement.ANOMALOUS) is is_confirmed
    assert abating.n_seen == n_seen
    assert finding(feed(signals(902, **second)), condition).judgement is Judgement.ANOMALOUS


def test_trouble_that_comes_again_and_again_does_not_blind_the_service_to_the_next() -> None:
    feed = trained(900)
    for i in range(900, 3900):
        feed(signals(i, errors=2 if i % 300 < 12 else 0))

    assert finding(feed(signals(3900, errors=7)), "errors").judgement is Judgement.ANOMALOUS
    assert finding(feed(signals(3901, errors=7)), "errors").severity is Severity.PAGE


@pytest.mark.parametrize(
    ("condition", "fault", "least"),
    [
        pytest.param("latency", {"ms": 400.0}, 1e6, id="slow"),
        pytest.param("errors", {"errors": 30}, 1e6, id="failing"),
        pytest.param("traffic", {"requests": 5}, 1e6, id="few"),
        pytest.param("saturation:cpu", {"cpu": 0.99}, 3, id="full"),
        pytest.param("silence", {"silent": True}, 1e5, id="silent"),
    ],
)
def test_every_alarm_says_how_rare_it_is_and_whether_it_is_further_out_than_anything_remembered(
    condition: str, fault: dict[str, float], least: float
) -> None:
    feed = trained(900)
    feed(signals(900, **fault))
    feed(signals(901, **fault))

    found = finding(feed(signals(902, **fault)), condition)

    assert found.judgement is Judgement.ANOMALOUS
    assert found.explanation["one_in"] >= least
    assert found.explanation["above_all"] == 1
    assert 0.04 < found.explanation["days"] < 0.2


@pytest.mark.parametrize(("page_drop", "severity"), [(2.0, Severity.PAGE), (20.0, Severity.TICKET)])
def test_an_alarm_carries_the_profile_that_it_met(page_drop: float, severity: Severity) -> None:
    page = PageProfile(fast=PageFast(traffic_drop=page_drop))
    feed = Feed(restore(DetectionParams(ready_windows=60, profiles=Profiles(page=page)), 3, {}))
    for i in range(400):
        feed(signals(i))

    feed(signals(400, requests=5))
    found = finding(feed(signals(401, requests=5)), "traffic")

    assert found.judgement is Judgement.ANOMALOUS
    assert found.severity is severity
