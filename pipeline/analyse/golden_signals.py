"""The four golden signals of what a window holds: latency, traffic, errors, saturation, per service and operation."""

from collections.abc import Mapping

from pipeline.analyse.log_lines import told_lines
from pipeline.contracts.histogram import Histogram, merged
from pipeline.contracts.ids import content_id
from pipeline.contracts.partial_sums import merge_operations
from pipeline.contracts.partials import OTHER, GaugePartial, LevelPartial, OperationPartial, Partial, Quantile
from pipeline.contracts.signals import Completeness, Errors, Latency, Level, OperationSignals, Saturation, Signals, Traffic

SHARES = (0.5, 0.9, 0.95, 0.99)
NAMES = ("p50", "p90", "p95", "p99")


def golden_signals(
    *,
    environment: str,
    service: str,
    start_ms: int,
    size_ms: int,
    revision: int,
    rollup: bool,
    value: Partial | None,
    completeness: Completeness,
    threshold_ms: float | None,
    max_operations: int,
    last_version: str,
    max_templates: int = 0,
) -> Signals:
    """Return the record of one window.

    Parameters
    ----------
    value
        All that the window holds; ``None``: nothing was heard.
    threshold_ms
        A slower request is an implicit error; ``None``: no such rule.
    max_operations
        Those with most requests are told apart (ties by name), the rest is ``other``.
    last_version
        Version to name when the window itself tells none.
    max_templates
        Masked log lines told apart; a rollup tells none.

    """
    kind = "rollup" if rollup else "window"
    operations = {} if value is None else value.operations
    total = merge_operations(list(operations.values()))
    overall = _overall(total)
    latency, latency_ok, latency_failed = _latencies(total, overall)
    saturation = {} if value is None else _saturation(value.gauges)
    versions = {} if value is None else value.versions
    return Signals(
        id=content_id(kind, environment, service, start_ms, size_ms),
        environment=environment,
        service=service,
        version=_top(versions) or last_version,
        window_start_ms=start_ms,
        window_end_ms=start_ms + size_ms,
        revision=revision,
        rollup=rollup,
        latency=latency,
        latency_ok=latency_ok,
        latency_failed=latency_failed,
        traffic=_traffic(total, size_ms),
        errors=_errors(total, overall, threshold_ms),
        saturation=saturation,
        most_constrained=min(saturation, key=lambda name: (-saturation[name].mean, name), default=None),
        completeness=completeness,
        operations=_operations(operations, size_ms, threshold_ms, max_operations),
        logs={} if value is None else value.logs,
        versions=versions,
        changes=[] if value is None else value.changes,
        feedback=[] if value is None else value.feedback,
        histogram=overall,
        amounts={} if value is None else value.amounts,
        levels={} if value is None or not value.levels else {name: _level(level) for name, level in value.levels.items()},
        calls={} if value is None else value.calls,
        exemplars=[] if value is None else value.exemplars,
        templates={} if rollup or value is None or not value.templates else told_lines(value.templates, max_templates),
    )


def _level(level: LevelPartial) -> Level:
    return Level(mean=min(max(level.sum / level.n, level.min), level.max), min=level.min, max=level.max)


def _operations(
    operations: Mapping[str, OperationPartial],
    size_ms: int,
    threshold_ms: float | None,
    max_operations: int,
) -> dict[str, OperationSignals]:
    """Return the signals of named operations; what names none is in the service's own."""
    shown = {name: operation for name, operation in operations.items() if name not in ("", OTHER)}
    rest = []
    if len(shown) > max_operations:
        ranked = sorted(shown, key=lambda name: (-operations[name].requests, name))
        rest = [shown.pop(name) for name in ranked[max_operations:]]
    if OTHER in operations:
        rest.append(operations[OTHER])
    if rest:
        shown[OTHER] = merge_operations(rest)
    return {name: _operation(shown[name], size_ms, threshold_ms) for name in sorted(shown)}


def _operation(operation: OperationPartial, size_ms: int, threshold_ms: float | None) -> OperationSignals:
    overall = _overall(operation)
    latency, latency_ok, latency_failed = _latencies(operation, overall)
    return OperationSignals(
        latency=latency,
        latency_ok=latency_ok,
        latency_failed=latency_failed,
        traffic=_traffic(operation, size_ms),
        errors=_errors(operation, overall, threshold_ms),
    )


def _overall(operation: OperationPartial) -> Histogram | None:
    """Return the latencies of all requests, whatever became of them."""
    ok = operation.latency_ok
    if operation.latency_failed is None and operation.latency_mixed is None:
        return ok
    parts = (ok, operation.latency_failed, operation.latency_mixed)
    return merged([part for part in parts if part is not None])


def _latencies(operation: OperationPartial, overall: Histogram | None) -> tuple[Latency | None, Latency | None, Latency | None]:
    """Return the latency of all requests, of good and of failed ones; mostly all are good, and it is reckoned once."""
    ok = None if operation.latency_ok is None else _own_latency(operation.latency_ok)
    failed = None if operation.latency_failed is None else _own_latency(operation.latency_failed)
    if operation.quantiles or overall is not operation.latency_ok:
        return _latency(overall, operation.quantiles), ok, failed
    return ok, ok, failed


def _latency(histogram: Histogram | None, ready_made: Mapping[str, Quantile]) -> Latency | None:
    """Return quantiles of a histogram, and of what arrived as quantiles, weighted by requests; then only approximate."""
    if not ready_made:
        return None if histogram is None else _own_latency(histogram)
    count, quantiles = (0, [None] * len(SHARES)) if histogram is None else histogram.counted_quantiles(SHARES)
    n_ready_made = round(max(quantile.weight for quantile in ready_made.values()))
    if not count + n_ready_made:
        return None
    own = dict(zip(NAMES, quantiles, strict=True)) | {"mean": histogram.sum / count if histogram is not None and count else None}
    found = {name: _weighted(value, count, ready_made.get(name)) for name, value in own.items()}
    return Latency(
        count=count + n_ready_made,
        mean_ms=found["mean"],
        p50_ms=found["p50"],
        p90_ms=found["p90"],
        p95_ms=found["p95"],
        p99_ms=found["p99"],
        relative_error=0.0 if histogram is None else histogram.relative_error,
        approximate=True,
    )


def _own_latency(histogram: Histogram) -> Latency | None:
    count, (p50, p90, p95, p99) = histogram.counted_quantiles(SHARES)
    if not count:
        return None
    return Latency(
        count=count,
        mean_ms=histogram.sum / count,
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        relative_error=histogram.relative_error,
    )


def _weighted(own: float | None, weight: float, ready_made: Quantile | None) -> float | None:
    if ready_made is None or not ready_made.weight:
        return own
    if own is None:
        return ready_made.weighted_ms / ready_made.weight
    return (own * weight + ready_made.weighted_ms) / (weight + ready_made.weight)


def _traffic(operation: OperationPartial, size_ms: int) -> Traffic:
    return Traffic(requests=operation.requests, requests_per_second=operation.requests * 1000 / size_ms)


def _errors(operation: OperationPartial, overall: Histogram | None, threshold_ms: float | None) -> Errors:
    requests = operation.requests
    ratio = min(1.0, operation.errors / requests) if requests else None
    if threshold_ms is None or overall is None or not overall.count:
        return Errors(count=operation.errors, ratio=ratio, threshold_ms=threshold_ms)
    slow = overall.count_above(threshold_ms)
    return Errors(count=operation.errors, ratio=ratio, slow=slow, slow_ratio=slow / overall.count, threshold_ms=threshold_ms)


def _saturation(gauges: Mapping[str, GaugePartial]) -> dict[str, Saturation]:
    """Return utilizations: those that were told; else what is used of the limit, on the whole window."""
    told: dict[str, Saturation] = {}
    for name, gauge in sorted(gauges.items()):
        if gauge.n:
            told[name] = Saturation(mean=gauge.sum / gauge.n, max=gauge.max)
        elif gauge.limit > 0 and (gauge.n_used or not gauge.n_limit):
            share = gauge.used / gauge.limit * (gauge.n_limit / gauge.n_used if gauge.n_used and gauge.n_limit else 1)
            told[name] = Saturation(mean=share, max=share)
    return told


def _top(counts: Mapping[str, int]) -> str:
    """Return the most frequent name; ties go to the first by name."""
    return min(counts, key=lambda name: (-counts[name], name), default="")
