"""Findings on disk become buckets: nothing that was extreme is lost, gaps stay gaps."""

import io
import math

import numpy as np
import pytest

from pipeline.backtest.series import SeriesKey, SeriesLog, Span
from pipeline.contracts.anomalies import Finding, Judgement, Verdict

CART = SeriesKey("prod/cart", "latency")


def verdict(
    end_ms: int, observed: float | None, *, service: str = "cart", score: float | None = 0.0, upper: float = 2.0
) -> Verdict:
    finding = Finding(
        condition="latency", signal="latency", judgement=Judgement.NORMAL, unit="ms", observed=observed, expected=1.0,
        lower=0.5, upper=upper, score=score,
    )  # fmt: skip
    return Verdict(
        id="v",
        environment="prod",
        service=service,
        version="1",
        window_start_ms=end_ms - 10_000,
        window_end_ms=end_ms,
        findings=[finding],
    )


def log_of(values: list[float | None]) -> SeriesLog:
    log = SeriesLog(io.BytesIO())
    for i, value in enumerate(values, 1):
        log.take(verdict(i * 10_000, value, score=None if value is None else value - 5))
    return log


def test_a_bucket_keeps_its_lowest_and_highest_value_and_the_score_furthest_from_zero() -> None:
    whole = Span(start_ms=0, end_ms=40_000)

    buckets = log_of([1.0, 9.0, 4.0, 2.0]).buckets({CART: [whole]}, 2)[CART, whole]

    assert buckets.low.tolist() == [1.0, 2.0]
    assert buckets.high.tolist() == [9.0, 4.0]
    assert buckets.score.tolist() == [4.0, -3.0]
    assert buckets.expected.tolist() == [1.0, 1.0]


def test_a_bucket_is_no_shorter_than_a_window_and_a_missing_window_is_a_gap() -> None:
    whole = Span(start_ms=0, end_ms=40_000)

    buckets = log_of([1.0, None, 4.0, 2.0]).buckets({CART: [whole]}, 500)[CART, whole]

    np.testing.assert_array_equal(buckets.low, [1.0, math.nan, 4.0, 2.0])


def test_spans_of_several_series_are_read_at_once() -> None:
    log = log_of([1.0, 2.0, 3.0, 4.0])
    for i in range(1, 5):
        log.take(verdict(i * 10_000, 100.0 + i, service="edge"))
    edge = SeriesKey("prod/edge", "latency")
    early, late = Span(start_ms=0, end_ms=20_000), Span(start_ms=20_000, end_ms=40_000)

    found = log.buckets({CART: [early, late], edge: [late]}, 10)

    assert {place: buckets.high.tolist() for place, buckets in found.items()} == {
        (CART, early): [1.0, 2.0],
        (CART, late): [3.0, 4.0],
        (edge, late): [103.0, 104.0],
    }


def test_findings_can_be_added_after_reading() -> None:
    log = log_of([1.0])
    whole = Span(start_ms=0, end_ms=20_000)
    log.buckets({CART: [whole]}, 2)

    log.take(verdict(20_000, 7.0))

    assert log.buckets({CART: [whole]}, 2)[CART, whole].high.tolist() == [1.0, 7.0]


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_value_that_no_plot_can_hold_is_kept_as_the_largest(value: float) -> None:
    whole = Span(start_ms=0, end_ms=10_000)

    kept = log_of([value]).buckets({CART: [whole]}, 1)[CART, whole].high[0]

    assert abs(kept) == pytest.approx(3e38)
    assert math.copysign(1, kept) == math.copysign(1, value)
