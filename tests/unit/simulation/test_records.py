"""The shop's records: seeded, seamless, in time, and of one truth in both levels of detail."""

from collections import Counter
from collections.abc import Iterable

import pytest

from pipeline.contracts.histogram import from_exponential
from pipeline.simulation.faults import Fault, FaultKind
from pipeline.simulation.records import Detail, Record, records, time_of
from pipeline.simulation.shop import Shop

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def requests_by_operation(found: Iterable[Record]) -> Counter[tuple[object, object]]:
    counts: Counter[tuple[object, object]] = Counter()
    for record in found:
        if record["kind"] == "request":
            counts[record["service"], record["operation"]] += 1
        elif record["kind"] == "summary":
            counts[record["service"], record["operation"]] += int(str(record["requests"]))
    return counts


def minute_of(service: str, shop: Shop, kind: str) -> list[Record]:
    found = records(shop, START_MS, START_MS + MINUTE_MS, Detail.REQUESTS)
    return [record for record in found if record["service"] == service and record["kind"] == kind]


def shop_with(kind: FaultKind, service: str = "payments") -> Shop:
    return Shop(faults=(Fault(kind=kind, service=service, start_ms=START_MS, end_ms=START_MS + MINUTE_MS),))


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    first = list(records(Shop(seed=1), START_MS, START_MS + MINUTE_MS))

    assert first == list(records(Shop(seed=1), START_MS, START_MS + MINUTE_MS))
    assert first != list(records(Shop(seed=2), START_MS, START_MS + MINUTE_MS))


def test_two_halves_are_the_same_as_the_whole() -> None:
    middle = START_MS + 30_000

    halves = [*records(Shop(), START_MS, middle), *records(Shop(), middle, START_MS + MINUTE_MS)]

    assert halves == list(records(Shop(), START_MS, START_MS + MINUTE_MS))


def test_summaries_count_exactly_the_requests_of_the_live_shop() -> None:
    live = requests_by_operation(records(Shop(), START_MS, START_MS + MINUTE_MS, Detail.REQUESTS))

    assert requests_by_operation(records(Shop(), START_MS, START_MS + MINUTE_MS)) == live


def test_a_summary_holds_a_histogram_of_all_its_requests() -> None:
    summaries = [record for record in records(Shop(), START_MS, START_MS + MINUTE_MS) if record["kind"] == "summary"]

    for summary in summaries:
        latency = summary["latency_ms"]
        assert isinstance(latency, dict)
        histogram = from_exponential(
            scale=latency["scale"], offset=latency["offset"], counts=latency["counts"], zero_count=0, total_sum=latency["sum"]
        )
        assert histogram.count == summary["requests"]
        assert histogram.quantile(0.5) == pytest.approx(histogram.mean, rel=0.6)


def test_records_come_in_order_of_time_within_the_window_that_they_report() -> None:
    times = [time_of(record) for record in records(Shop(), START_MS, START_MS + MINUTE_MS, Detail.REQUESTS)]

    assert times == sorted(times)
    assert times[0] >= START_MS
    assert times[-1] < START_MS + MINUTE_MS


def test_who_calls_is_at_least_as_slow_as_whom_it_waits_for() -> None:
    charges = [float(str(record["duration_ms"])) for record in minute_of("payments", Shop(), "request")]
    places = [float(str(record["duration_ms"])) for record in minute_of("checkout", Shop(), "request")]

    assert len(charges) == len(places)
    assert sum(places) > sum(charges)


def test_a_latency_fault_slows_the_service_and_its_callers_by_its_factor() -> None:
    usual, slow = (
        sorted(float(str(record["duration_ms"])) for record in minute_of("payments", shop, "request"))
        for shop in (Shop(), shop_with(FaultKind.LATENCY))
    )
    callers = [float(str(record["duration_ms"])) for record in minute_of("checkout", shop_with(FaultKind.LATENCY), "request")]

    assert slow[len(slow) // 2] / usual[len(usual) // 2] == pytest.approx(4.0, rel=0.01)
    assert sum(callers) / len(callers) > 340


def test_an_error_fault_fails_its_share_and_most_of_the_calls_that_wait_for_it() -> None:
    def share(service: str) -> float:
        found = minute_of(service, shop_with(FaultKind.ERRORS), "request")
        return sum(record["status"] == 500 for record in found) / len(found)

    assert share("payments") == pytest.approx(0.3, abs=0.07)
    assert 0.15 < share("checkout") < share("payments")


def test_a_traffic_drop_lets_only_its_share_through() -> None:
    usual, dropped = (len(minute_of("payments", shop, "request")) for shop in (Shop(), shop_with(FaultKind.TRAFFIC_DROP)))

    assert dropped / usual == pytest.approx(0.15, abs=0.06)


def test_a_silent_service_reports_nothing_and_the_others_go_on() -> None:
    shop = shop_with(FaultKind.SILENCE)

    assert not [*minute_of("payments", shop, "request"), *minute_of("payments", shop, "gauge"), *minute_of("payments", shop, "log")]
    assert minute_of("checkout", shop, "request")


def test_a_saturated_service_shows_it_in_its_cpu() -> None:
    levels = [float(str(record["utilization"])) for record in minute_of("payments", shop_with(FaultKind.SATURATION), "gauge")]

    assert max(levels) > 0.94


def test_a_deploy_is_announced_once_and_its_version_runs_from_then_on() -> None:
    day_ms = 86_400_000
    found = list(records(Shop(visits_per_second=0.1), START_MS, START_MS + day_ms))
    changes = [record for record in found if record["kind"] == "change"]

    assert changes
    for change in changes:
        at_ms = time_of(change)
        same = [record for record in found if record["service"] == change["service"] and record["kind"] == "gauge"]
        before = {record["version"] for record in same if time_of(record) < at_ms - 10_000}
        after = {record["version"] for record in same if time_of(record) > at_ms + 10_000}
        assert change["version"] not in before
        assert after == {change["version"]}


def test_a_fault_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(ValueError, match="no service 'search'"):
        Shop(faults=(Fault(kind=FaultKind.ERRORS, service="search", start_ms=0, end_ms=1),))
