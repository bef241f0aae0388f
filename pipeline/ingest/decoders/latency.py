"""What a summary's `latency_ms` means: an exponential or explicit histogram, or ready-made quantiles."""

import itertools

from pipeline.contracts.histogram import Histogram, from_explicit, from_exponential
from pipeline.contracts.readings import RejectReason
from pipeline.ingest.validation import MAX_COUNT, Fields, ascending, count_or_zero, integer, integers, number, refused

MAX_DURATION_MS = 1e10
"""116 days: longer is no latency."""
MAX_BUCKET_COUNTS = 4_096
"""Length of an array of counts; OpenTelemetry's SDKs send up to 160."""
LOWEST_LOG2, HIGHEST_LOG2 = -64, 34
"""Values are looked for in 2^-64 .. 2^34 ms: below is less than a clock can tell, above is no latency."""
QUANTILES = ("p50", "p90", "p95", "p99", "mean")

_PATH = "latency_ms"
_MIN_SCALE, _MAX_SCALE = -10, 20
_OFFSET_LIMIT = 2**31


def read_latency(value: object, requests: int) -> tuple[Histogram | None, dict[str, float] | None]:
    """Return a summary's latencies as a histogram, as quantiles (ms), or as neither when there are none.

    Raises
    ------
    FieldRefused
        If it has none of the three forms, or breaks the rules of its form, or counts more than ``requests``.

    """
    if value is None:
        return None, None
    if type(value) is not dict:
        raise refused(RejectReason.WRONG_TYPE, _PATH, "must be an object", value)
    is_exponential, is_explicit = "scale" in value or "offset" in value, "bounds" in value
    if is_exponential and is_explicit:
        raise refused(RejectReason.INCONSISTENT, _PATH, "must have either scale and offset or bounds", value)
    if is_exponential:
        return _exponential(value, requests), None
    if is_explicit:
        return _explicit(value, requests), None
    return None, _quantiles(value)


def _exponential(fields: Fields, requests: int) -> Histogram | None:
    get = fields.get
    scale = integer(get("scale"), f"{_PATH}.scale", _MIN_SCALE, _MAX_SCALE)
    offset = integer(get("offset"), f"{_PATH}.offset", -_OFFSET_LIMIT, _OFFSET_LIMIT)
    counts = integers(get("counts"), f"{_PATH}.counts", MAX_COUNT, MAX_BUCKET_COUNTS)
    zero_count = count_or_zero(get("zero_count"), f"{_PATH}.zero_count")
    total = sum(counts) + zero_count
    _check_total(total, requests)
    total_sum = _sum(fields, total)
    used = list(itertools.compress(itertools.count(), counts))
    for i in (used[0], used[-1]) if used else ():
        _check_bucket(offset + i, scale, f"{_PATH}.counts[{i}]", counts[i])
    if not total:
        return None
    return from_exponential(scale=scale, offset=offset, counts=counts, zero_count=zero_count, total_sum=total_sum)


def _explicit(fields: Fields, requests: int) -> Histogram | None:
    bounds = ascending(fields.get("bounds"), f"{_PATH}.bounds", MAX_DURATION_MS, MAX_BUCKET_COUNTS)
    counts = integers(fields.get("counts"), f"{_PATH}.counts", MAX_COUNT, MAX_BUCKET_COUNTS + 1)
    if len(counts) != len(bounds) + 1:
        rule = f"must have one element more than the {len(bounds)} bounds"
        raise refused(RejectReason.INCONSISTENT, f"{_PATH}.counts", rule, counts)
    total = sum(counts)
    _check_total(total, requests)
    total_sum = _sum(fields, total)
    return from_explicit(bounds=bounds, counts=counts, total_sum=total_sum) if total else None


def _quantiles(fields: Fields) -> dict[str, float] | None:
    if not any(quantile in fields for quantile in QUANTILES):
        rule = f"must have scale, offset and counts, or bounds and counts, or one of {', '.join(QUANTILES)}"
        raise refused(RejectReason.MISSING_FIELD, _PATH, rule, fields)
    return {
        quantile: number(fields[quantile], f"{_PATH}.{quantile}", 0.0, MAX_DURATION_MS)
        for quantile in QUANTILES
        if fields.get(quantile) is not None
    } or None


def _sum(fields: Fields, total: int) -> float | None:
    """Return the sum of latencies; ``None`` lets the buckets' middles estimate it."""
    total_sum = fields.get("sum")
    return None if total_sum is None else number(total_sum, f"{_PATH}.sum", 0.0, MAX_DURATION_MS * max(total, 1))


def _check_total(total: int, requests: int) -> None:
    """Fewer is fine: not each request need be measured."""
    if total > requests:
        raise refused(RejectReason.INCONSISTENT, f"{_PATH}.counts", f"must count at most the {requests} requests in all", total)


def _check_bucket(index: int, scale: int, field: str, n: int) -> None:
    """Refuse a used bucket that holds no believable value; so the span of a histogram is bounded, too."""
    width = 2.0**-scale
    if (index + 1) * width <= LOWEST_LOG2 or index * width >= HIGHEST_LOG2:
        rule = f"must be 0 beyond 2^{LOWEST_LOG2} to 2^{HIGHEST_LOG2} ms, its bucket begins at 2^{index * width:g} ms"
        raise refused(RejectReason.OUT_OF_RANGE, field, rule, n)
