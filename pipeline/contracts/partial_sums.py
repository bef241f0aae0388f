"""How partials add up: in any order to the same numbers, as a new sum or in place."""

from pipeline.contracts.exemplars import MAX_KEPT, kept
from pipeline.contracts.histogram import merged
from pipeline.contracts.partials import (
    CallPartial,
    ChangeNote,
    FeedbackNote,
    GaugePartial,
    LevelPartial,
    OperationPartial,
    Partial,
    Quantile,
    TemplatePartial,
)
from pipeline.contracts.points import merge_series
from pipeline.contracts.trace_samples import merged_samples


def merge_operations(parts: list[OperationPartial]) -> OperationPartial:
    """Return the sum of the same operation's partials; a single one is returned itself."""
    if len(parts) == 1:
        return parts[0]
    requests, errors = 0, 0
    quantiles: dict[str, Quantile] = {}
    for part in parts:
        requests += part.requests
        errors += part.errors
        for name, quantile in part.quantiles.items():
            quantiles.setdefault(name, Quantile()).absorb(quantile)
    ok = [histogram for part in parts if (histogram := part.latency_ok) is not None]
    failed = [histogram for part in parts if (histogram := part.latency_failed) is not None]
    mixed = [histogram for part in parts if (histogram := part.latency_mixed) is not None]
    return OperationPartial(
        requests=requests,
        errors=errors,
        latency_ok=merged(ok) if ok else None,
        latency_failed=merged(failed) if failed else None,
        latency_mixed=merged(mixed) if mixed else None,
        quantiles=quantiles,
    )


def merge_partials(parts: list[Partial]) -> Partial:
    """Return the sum of partials of one service, with the first one's service and window; inputs stay as they are."""
    total = _nothing_of(parts[0])
    by_operation: dict[str, list[OperationPartial]] = {}
    for part in parts:
        for name, operation in part.operations.items():
            by_operation.setdefault(name, []).append(operation)
        _add_counts(total, part)
    total.operations = {name: merge_operations(same) for name, same in by_operation.items()}
    _add_rest(total, parts)
    return total


def add_partial(total: Partial, part: Partial) -> None:
    """Add a partial of the same service to a sum, in place; ``part`` stays as it is, and nothing of it is shared."""
    operations = total.operations
    for name, operation in part.operations.items():
        known = operations.get(name)
        if known is None:
            known = operations[name] = OperationPartial()
        known.absorb(operation)
    _add_counts(total, part)
    _add_rest(total, [total, part])


def copied(partial: Partial) -> Partial:
    """Return one that holds the same, and to which others may be added."""
    total = _nothing_of(partial)
    add_partial(total, partial)
    return total


def _nothing_of(partial: Partial) -> Partial:
    return Partial(environment=partial.environment, service=partial.service, start_ms=partial.start_ms, size_ms=partial.size_ms)


def _add_counts(total: Partial, part: Partial) -> None:
    total.readings += part.readings
    total.over_limit += part.over_limit
    for name, gauge in part.gauges.items():
        total.gauges.setdefault(name, GaugePartial()).absorb(gauge)
    for severity, n in part.logs.items():
        total.logs[severity] = total.logs.get(severity, 0) + n
    for version, n in part.versions.items():
        total.versions[version] = total.versions.get(version, 0) + n
    for name, amount in part.amounts.items():
        total.amounts[name] = total.amounts.get(name, 0.0) + amount
    for name, level in part.levels.items():
        total.levels.setdefault(name, LevelPartial()).absorb(level.n, level.sum, level.min, level.max)
    for callee, own in part.calls.items():
        counted = total.calls.setdefault(callee, CallPartial())
        counted.calls += own.calls
        counted.errors += own.errors
    if part.changes:
        total.changes = sorted([*total.changes, *part.changes], key=_change_order)
    if part.feedback:
        total.feedback = sorted([*total.feedback, *part.feedback], key=_feedback_order)
    if part.exemplars:
        total.exemplars = kept([*total.exemplars, *part.exemplars], MAX_KEPT)


def _add_rest(total: Partial, parts: list[Partial]) -> None:
    """Set points, log lines and traces to the sum of the parts."""
    points = [part.points for part in parts if part.points]
    if points:
        total.points = merge_series(points)
    templates = [part.templates for part in parts if part.templates]
    if templates:
        total.templates = merge_templates(templates)
    samples = [part.traces for part in parts if part.traces is not None]
    if samples:
        total.traces = merged_samples(samples)


def _change_order(change: ChangeNote) -> tuple[int, str, str, str, str]:
    return change.time_ms, change.type, change.version, change.by, change.note


def _feedback_order(said: FeedbackNote) -> tuple[int, str, str, str, str]:
    return said.time_ms, said.condition, said.verdict, said.by, said.note


def merge_templates(parts: list[dict[str, TemplatePartial]]) -> dict[str, TemplatePartial]:
    """Return the sum of masked log lines; inputs stay as they are, and nothing of them is shared."""
    merged_lines: dict[str, TemplatePartial] = {}
    for part in parts:
        for line, counted in part.items():
            merged_lines.setdefault(line, TemplatePartial()).absorb(counted.n, counted.severity, counted.example, counted.time_ms)
    return merged_lines
