"""Histograms: quantiles within 1.1 % of the true ones, merging that does not care for order, honest errors."""

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.histogram import (
    MAX_BUCKETS,
    MIN_SCALE,
    Histogram,
    bucket_index,
    from_explicit,
    from_exponential,
    from_exponential_in,
    merged,
)

SHARES = [0.0, 0.5, 0.9, 0.95, 0.99, 1.0]
ALLOWED = 0.011
MS_LOW, MS_HIGH = 0.1, 100_000.0
"""100 microseconds to 100 seconds, in ms."""

LATENCIES = st.floats(MS_LOW, MS_HIGH)
EDGES = [math.pow(2.0, i / 32) for i in range(-106, 532)]
"""Bounds of our buckets from 100 microseconds to 100 seconds: the values most easily put on the wrong side."""


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def worst_error(histogram: Histogram, values: list[float], shares: list[float] = SHARES) -> float:
    true = np.quantile(np.asarray(values), shares, method="inverted_cdf")
    found = histogram.quantiles(shares)
    return max(
        abs(mine - his) / his if his else abs(mine) for mine, his in zip([one or 0.0 for one in found], true.tolist(), strict=True)
    )


def assert_same(a: Histogram, b: Histogram) -> None:
    """Equal but for the rounding of the sum."""
    assert msgspec.structs.replace(a, sum=0.0) == msgspec.structs.replace(b, sum=0.0)
    assert a.sum == pytest.approx(b.sum, rel=1e-12)


@given(st.lists(LATENCIES, min_size=1, max_size=300))
def test_quantiles_of_any_values_are_within_the_promised_error(values: list[float]) -> None:
    assert worst_error(histogram_of(values), values) <= ALLOWED


@given(st.lists(st.sampled_from(EDGES), min_size=1, max_size=50), st.sampled_from([0.0, math.inf, None]))
def test_values_on_bucket_bounds_and_beside_them_are_no_worse(values: list[float], towards: float | None) -> None:
    nudged = values if towards is None else [math.nextafter(value, towards) for value in values]

    assert worst_error(histogram_of(nudged), nudged) <= ALLOWED


def adversarial() -> dict[str, list[float]]:
    draw = random.Random(3)
    return {
        "all equal": [17.3] * 1000,
        "one value": [99.9],
        "powers of two": [2.0**i for i in range(-3, 17)] * 7,
        "two points far apart, split at p50": [MS_LOW] * 50 + [MS_HIGH] * 50,
        "two points far apart, split at p90": [MS_LOW] * 90 + [MS_HIGH] * 10,
        "two points far apart, split at p95": [MS_LOW] * 95 + [MS_HIGH] * 5,
        "two points far apart, split at p99": [MS_LOW] * 99 + [MS_HIGH],
        "two points far apart, split just after p99": [MS_LOW] * 989 + [MS_HIGH] * 11,
        "split at p95 of 20,000": [MS_LOW] * 19_000 + [MS_HIGH] * 1_000,
        "heavy tail": [min(MS_HIGH, max(MS_LOW, draw.paretovariate(0.5))) for _ in range(20_000)],
        "log-normal": [min(MS_HIGH, max(MS_LOW, draw.lognormvariate(3, 2))) for _ in range(20_000)],
        "uniform": [draw.uniform(MS_LOW, MS_HIGH) for _ in range(20_000)],
        "log-uniform over the whole range": [math.exp(draw.uniform(math.log(MS_LOW), math.log(MS_HIGH))) for _ in range(20_000)],
        "whole range, evenly": np.geomspace(MS_LOW, MS_HIGH, 50_001).tolist(),
        "bucket bounds": EDGES,
        "just above bucket bounds": [math.nextafter(edge, math.inf) for edge in EDGES],
        "with zeros": [0.0] * 60 + [5.0] * 40,
    }


@pytest.mark.parametrize("values", adversarial().values(), ids=adversarial().keys())
def test_quantiles_of_adversarial_values_are_within_the_promised_error(values: list[float]) -> None:
    assert worst_error(histogram_of(values), values, [0.0, 0.001, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0]) <= ALLOWED


def test_the_relative_error_that_a_histogram_states_is_its_resolutions() -> None:
    assert Histogram().relative_error == pytest.approx((2 ** (1 / 32) - 1) / (2 ** (1 / 32) + 1))
    assert Histogram().relative_error < ALLOWED


@given(st.floats(5e-324, 1e300), st.integers(-3, 5))
def test_a_value_lies_in_its_bucket(value: float, scale: int) -> None:
    index = bucket_index(value, scale)
    width = 2.0**-scale

    assert index * width <= math.log2(value) + 1e-9
    assert math.log2(value) <= (index + 1) * width + 1e-9


@pytest.mark.parametrize("scale", range(-3, 6))
def test_a_power_of_two_is_the_inclusive_upper_bound_of_its_bucket(scale: int) -> None:
    period = 1 << max(0, -scale)  # of powers of two in one bucket
    for exponent in range(-8 * period, 8 * period, period):
        below, above = bucket_index(2.0**exponent, scale), bucket_index(math.nextafter(2.0**exponent, math.inf), scale)

        assert (below + 1) * 2.0**-scale == exponent
        assert above == below + 1


HISTOGRAMS = st.builds(
    lambda values, scale, zeros: merged([histogram_of([*values, *([0.0] * zeros)]), Histogram(scale=scale)]),
    st.lists(LATENCIES, max_size=30),
    st.integers(0, 5),
    st.integers(0, 2),
)


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_merging_is_associative(a: Histogram, b: Histogram, c: Histogram) -> None:
    assert_same(merged([merged([a, b]), c]), merged([a, merged([b, c])]))


@given(HISTOGRAMS, HISTOGRAMS)
def test_merging_is_commutative(a: Histogram, b: Histogram) -> None:
    assert_same(merged([a, b]), merged([b, a]))


@given(HISTOGRAMS)
def test_an_empty_histogram_changes_nothing(a: Histogram) -> None:
    assert_same(merged([a, Histogram()]), a)
    assert_same(merged([a]), a)


@given(st.lists(LATENCIES, max_size=60), st.integers(0, 60))
def test_merging_is_the_same_as_having_seen_all_values(values: list[float], cut: int) -> None:
    parts = [histogram_of(values[:cut]), histogram_of(values[cut:])]

    assert_same(merged(parts), histogram_of(values))


@given(HISTOGRAMS, HISTOGRAMS)
def test_absorbing_is_merging_and_leaves_the_other_alone(a: Histogram, b: Histogram) -> None:
    before, expected = msgspec.structs.replace(b, counts=dict(b.counts)), merged([a, b])

    a.absorb(b)
    a.add(1.0)

    assert b == before
    expected.add(1.0)
    assert_same(a, expected)


def test_too_many_buckets_cost_resolution_and_no_values() -> None:
    values = [2.0 ** (i / 32) for i in range(-700, 700)]

    histogram = histogram_of(values)

    assert (histogram.scale, histogram.count) == (4, len(values))
    assert len(histogram.counts) <= MAX_BUCKETS
    assert worst_error(histogram, values) <= histogram.relative_error + 1e-9
    assert histogram.relative_error == pytest.approx(0.02166, rel=1e-3)


def test_overflow_while_merging_gives_the_same_as_overflow_while_adding() -> None:
    values = [2.0 ** (i / 32) for i in range(-700, 700)]
    halves = [histogram_of(values[::2]), histogram_of(values[1::2])]

    assert [half.scale for half in halves] == [5, 5]
    assert_same(merged(halves), histogram_of(values))


def test_adding_many_at_once_is_adding_one_by_one() -> None:
    at_once = Histogram()
    at_once.add(12.5, 3)
    at_once.add(0.0, 2)

    assert_same(at_once, histogram_of([12.5, 0.0, 12.5, 0.0, 12.5]))


@given(st.lists(LATENCIES, min_size=1, max_size=100), st.integers(-1, 9))
def test_an_exponential_histogram_of_others_keeps_its_own_error_or_gets_ours(values: list[float], scale: int) -> None:
    indexes = sorted(math.floor(math.log2(value) * 2.0**scale) for value in values)
    counts = [indexes.count(i) for i in range(indexes[0], indexes[-1] + 1)]

    taken = from_exponential(scale=scale, offset=indexes[0], counts=counts, zero_count=0, total_sum=sum(values))

    assert taken.count == len(values)
    assert worst_error(taken, values) <= taken.relative_error + 1e-9
    assert taken.relative_error == pytest.approx(math.tanh(math.log(2) * 2.0 ** -min(scale, 5) / 2))


@given(st.floats(MS_LOW, MS_HIGH), st.integers(-2, 20))
def test_seconds_of_any_scale_that_a_sender_may_have_are_off_by_no_more_than_is_stated(value_ms: float, scale: int) -> None:
    """Senders begin with a scale of 20, far finer than ours."""
    index = math.floor(math.log2(value_ms / 1000) * 2.0**scale)

    taken = from_exponential_in(1000.0, scale=scale, offset=index, counts=[1], zero_count=0, total_sum=value_ms / 1000)

    assert taken.count == 1
    assert worst_error(taken, [value_ms]) <= taken.relative_error + 1e-9


@given(st.lists(st.floats(1.0, 4999.0), min_size=1, max_size=100))
def test_an_explicit_histogram_is_off_by_no_more_than_it_states(values: list[float]) -> None:
    bounds = [1.0, 1.5, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 400.0, 1000.0, 5000.0]
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[next(i for i, bound in enumerate(bounds) if value <= bound)] += 1

    taken = from_explicit(bounds=bounds, counts=counts, total_sum=sum(values))

    assert taken.count == len(values)
    assert worst_error(taken, values) <= taken.relative_error
    assert taken.mean == pytest.approx(sum(values) / len(values))


def test_at_its_bounds_an_explicit_bucket_is_off_by_no_more_than_it_states() -> None:
    bounds = [math.pow(1.37, i) for i in range(40)]
    for i in range(1, len(bounds)):
        counts = [int(at == i) for at in range(len(bounds) + 1)]
        taken = from_explicit(bounds=bounds, counts=counts, total_sum=bounds[i])

        assert worst_error(taken, [math.nextafter(bounds[i - 1], math.inf)], [0.5]) <= taken.relative_error
        assert worst_error(taken, [bounds[i]], [0.5]) <= taken.relative_error


@pytest.mark.parametrize("counts", [[1, 0, 0], [0, 0, 1], [1, 5, 1]])
def test_the_first_and_the_last_bucket_of_explicit_bounds_are_not_bounded(counts: list[int]) -> None:
    assert from_explicit(bounds=[10.0, 20.0], counts=counts, total_sum=30.0).relative_error == 1.0


def test_explicit_bounds_from_zero_have_zeros_in_their_first_bucket() -> None:
    taken = from_explicit(bounds=[0.0, 5.0], counts=[3, 0, 0], total_sum=0.0)

    assert (taken.zero_count, taken.relative_error) == (3, Histogram().relative_error)


def test_a_histogram_without_bounds_stands_at_its_mean() -> None:
    assert from_explicit(bounds=[], counts=[4], total_sum=100.0).quantile(0.5) == pytest.approx(25.0, rel=ALLOWED)


@pytest.mark.parametrize("index", [-(10**9), -2, -1, 0, 1, 10**9])
def test_no_bucket_makes_a_quantile_overflow(index: int) -> None:
    for scale in (MIN_SCALE, -9, 0, 5):
        found = Histogram(scale=scale, counts={index: 1}).quantile(0.5)

        assert found is not None
        assert math.isfinite(found)


def test_an_empty_histogram_has_no_quantiles_and_no_mean() -> None:
    assert Histogram().quantiles([0.5, 0.9]) == [None, None]
    assert Histogram().mean is None


@given(st.lists(LATENCIES, min_size=1, max_size=50), LATENCIES)
def test_how_many_values_are_above_a_threshold_is_exact_to_a_bucket(values: list[float], threshold: float) -> None:
    above = histogram_of(values).count_above(threshold)

    base = Histogram().base
    assert sum(value > threshold * base for value in values) <= above <= sum(value > threshold / base for value in values)
