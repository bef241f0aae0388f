"""What the growth of cumulative series adds to a window's golden signals: histograms put together from their parts included."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pipeline.analyse.increase import aligned
from pipeline.contracts.histogram import Histogram, from_explicit, from_exponential_in
from pipeline.contracts.partial_sums import merge_operations
from pipeline.contracts.partials import GaugePartial, OperationPartial, Partial, Quantile
from pipeline.contracts.points import Point, SeriesMeaning

Growth = tuple[SeriesMeaning, list[Point]]
"""A series, and what it counted from each point to the next."""


def added(environment: str, service: str, *, start_ms: int, size_ms: int, growths: Iterable[Growth]) -> Partial:
    """Return what series add to a window, as a partial of no readings: these are counted with the points themselves."""
    operations: defaultdict[str, list[OperationPartial]] = defaultdict(list)
    gauges: dict[str, GaugePartial] = {}
    latencies: defaultdict[SeriesMeaning, list[Point]] = defaultdict(list)
    groups: defaultdict[str, list[Growth]] = defaultdict(list)
    amounts: defaultdict[str, float] = defaultdict(float)
    uses: defaultdict[tuple[str, str], list[Growth]] = defaultdict(list)
    for meaning, points in growths:
        if meaning.role == "amount":
            amounts[meaning.resource] += sum(point.value for point in points)
        elif meaning.role == "used":
            uses[meaning.resource, meaning.group].append((meaning, points))
        elif meaning.group:
            groups[meaning.group].append((meaning, points))
        elif meaning.role == "latency":
            latencies[meaning].extend(points)
        elif meaning.role == "requests":
            n = sum(point.value for point in points)
            total = _sum_ms(meaning, points)
            operations[meaning.operation].append(_requests(meaning, round(n), None, total))
        elif meaning.role == "quantile":
            operations[meaning.operation].append(_quantile(meaning, points, weight=len(points)))
        else:
            _use(gauges.setdefault(meaning.resource, GaugePartial()), meaning, points)
    for meaning, points in latencies.items():
        n = sum(point.value for point in points)
        operations[meaning.operation].append(_requests(meaning, round(n), _histogram(meaning, points), None))
    for (resource, _), together in uses.items():
        _use_a_second(gauges.setdefault(resource, GaugePartial()), together)
    for parts in groups.values():
        operations[parts[0][0].operation].append(_assembled(parts))
    return Partial(
        environment=environment,
        service=service,
        start_ms=start_ms,
        size_ms=size_ms,
        operations={name: merge_operations(parts) for name, parts in operations.items()},
        gauges=gauges,
        amounts=dict(amounts),
    )


def _requests(meaning: SeriesMeaning, n: int, latency: Histogram | None, total_ms: float | None) -> OperationPartial:
    quantiles = {"mean": Quantile(weight=n, weighted_ms=total_ms)} if total_ms is not None and n else {}
    return OperationPartial(
        requests=n,
        errors=n if meaning.failed else 0,
        latency_ok=None if meaning.failed else latency,
        latency_failed=latency if meaning.failed else None,
        quantiles=quantiles,
    )


def _histogram(meaning: SeriesMeaning, points: Sequence[Point]) -> Histogram | None:
    if not any(any(point.counts) or point.zero_count for point in points):
        return None
    total = _sum_ms(meaning, points)
    if meaning.bounds:
        counts = [sum(column) for column in zip(*(point.counts for point in points), strict=True)]
        return from_explicit(bounds=meaning.bounds, counts=counts, total_sum=total)
    same = aligned(points)
    return from_exponential_in(
        meaning.unit_ms,
        scale=next((point.scale for point in same if point.counts), 0),
        offset=next((point.offset for point in same if point.counts), 0),
        counts=[sum(column) for column in zip(*(point.counts for point in same), strict=True)],
        zero_count=sum(point.zero_count for point in same),
        total_sum=None if total is None else total / meaning.unit_ms,
    )


def _sum_ms(meaning: SeriesMeaning, points: Sequence[Point]) -> float | None:
    sums = [point.sum for point in points]
    known = [total for total in sums if total is not None]
    return sum(known) * meaning.unit_ms if known and len(known) == len(sums) else None


def _assembled(parts: Sequence[Growth]) -> OperationPartial:
    """Return the requests of a Prometheus histogram or summary, whose buckets, sum and count are series of their own."""
    bounded: dict[float, float] = {}
    counted: float | None = None
    infinite: float | None = None
    total_ms: float | None = None
    for meaning, points in parts:
        n = sum(point.value for point in points)
        if meaning.role == "bucket" and meaning.bound_ms is not None:
            bounded[meaning.bound_ms] = bounded.get(meaning.bound_ms, 0) + n
        elif meaning.role == "bucket":
            infinite = (infinite or 0) + n
        elif meaning.role == "sum":
            total_ms = (total_ms or 0) + n * meaning.unit_ms
        elif meaning.role == "requests":
            counted = (counted or 0) + n
    about = parts[0][0]
    requests = round(counted if counted is not None else infinite or 0)
    latency = _from_buckets(bounded, infinite if infinite is not None else counted, total_ms)
    alone = total_ms if latency is None else None
    quantiles = [_quantile(meaning, points, weight=requests) for meaning, points in parts if meaning.role == "quantile"]
    return merge_operations([_requests(about, requests, latency, alone), *quantiles])


def _from_buckets(bounded: Mapping[float, float], total: float | None, total_ms: float | None) -> Histogram | None:
    """Return the histogram of buckets that each count all values up to their bound; a part that is missing counts none."""
    bounds = sorted(bounded)
    if not bounds:
        return None
    counts: list[int] = []
    below = 0.0
    for bound in bounds:
        counts.append(max(0, round(bounded[bound] - below)))
        below = max(below, bounded[bound])
    counts.append(max(0, round((total or 0) - below)))
    return from_explicit(bounds=bounds, counts=counts, total_sum=total_ms) if any(counts) else None


def _quantile(meaning: SeriesMeaning, points: Sequence[Point], *, weight: float) -> OperationPartial:
    mean_ms = sum(point.value for point in points) / len(points) if points else 0.0
    return OperationPartial(quantiles={meaning.quantile: Quantile(weight=weight, weighted_ms=mean_ms * weight)} if weight else {})


def _use(gauge: GaugePartial, meaning: SeriesMeaning, points: Sequence[Point]) -> None:
    amount = sum(point.value for point in points)
    if meaning.role == "part":
        gauge.used += amount
    gauge.limit += amount


def _use_a_second(gauge: GaugePartial, together: Sequence[Growth]) -> None:
    """Add what one user used, perhaps in several series: beside its own limit, else to compare with one that comes."""
    points = [point for _, points in together for point in points]
    covered_s = (max(point.time_ms for point in points) - min(point.start_ms for point in points)) / 1000 if points else 0.0
    if covered_s <= 0:
        return
    amount, limit = sum(point.value for point in points), together[0][0].limit
    if limit:
        gauge.used += amount
        gauge.limit += limit * covered_s
    else:
        gauge.used += amount / covered_s
        gauge.n_used += 1
