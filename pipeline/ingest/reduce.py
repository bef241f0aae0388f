"""What a reading adds to the partial of its service and window, and which window that is.

A service's totals are the merge of its operations (``""`` for readings that name none), so they are not kept twice.
"""

from collections.abc import Sequence

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.exemplars import Exemplar, with_one
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.keys import service_key
from pipeline.contracts.partial_sums import merge_operations
from pipeline.contracts.partials import (
    OTHER,
    OTHER_TEMPLATE,
    CallPartial,
    ChangeNote,
    FeedbackNote,
    GaugePartial,
    LevelPartial,
    OperationPartial,
    Partial,
    Quantile,
    TemplatePartial,
    rank,
)
from pipeline.contracts.points import Series, summed
from pipeline.contracts.readings import (
    CallReading,
    ChangeReading,
    FeedbackReading,
    GaugeReading,
    LevelReading,
    LogReading,
    PointsReading,
    Reading,
    RequestReading,
    SampledSpan,
    SummaryReading,
    UsageReading,
)
from pipeline.contracts.topology import CalleeKind, callee_name
from pipeline.contracts.trace_samples import ENVIRONMENT, KEY, SERVICE, TraceSample
from pipeline.contracts.window_times import BASE_SIZE_MS, ROLLUP_SIZE_MS, size_for_interval, window_start
from pipeline.ingest.masking import clean_line, example_of, masked
from pipeline.ingest.names import counted_as, first_come

MAX_POINTS = 1_000
"""Points of one series in one partial: a hundred a second."""

_BAD = rank("warn")
NO_ROOM = callee_name(CalleeKind.OTHER, OTHER, OTHER)
PartialKey = tuple[str, int, int]
"""(service key, window start in ms, window size in ms)."""


def fold(partials: dict[PartialKey, Partial], reading: Reading, config: IngestConfig) -> PartialKey:
    """Add a reading to its partial, which is made when it is the first, and return the partial's key.

    Each reading counts in exactly one partial. What is over a cardinality limit of ``config`` counts as that says.
    """
    time_ms, size_ms = _place(reading)
    origin = reading.origin
    key = (service_key(origin.environment, origin.service), window_start(time_ms, size_ms), size_ms)
    partial = partial_of(partials, key, origin.environment, origin.service)
    count_readings(partial, origin.version, reading.n if type(reading) is PointsReading else 1, config)
    match reading:
        case RequestReading():
            _add_request(operation_of(partial, origin.operation, config), reading.is_error, reading.duration_ms)
        case SummaryReading():
            _add_summary(operation_of(partial, origin.operation, config), reading)
        case GaugeReading():
            _add_gauge(partial, reading, config)
        case LogReading():
            _add_log(partial, reading, config)
        case CallReading():
            _add_call(partial, reading, config)
        case ChangeReading():
            _add_change(partial, reading, config)
        case PointsReading():
            _add_points(partial, reading, config)
        case UsageReading():
            _add_usage(_gauge(partial, reading.resource, config), reading)
        case LevelReading(value=value):
            partial.levels.setdefault(reading.signal, LevelPartial()).absorb(1, value, value, value)
        case FeedbackReading():
            _add_feedback(partial, reading, config)
    for exemplar in _exemplars(reading) if config.max_exemplars else ():
        partial.exemplars = with_one(partial.exemplars, exemplar, config.max_exemplars)
    return key


def fold_sampled(partials: dict[PartialKey, Partial], span: SampledSpan, config: IngestConfig) -> PartialKey:
    """Add a span to the sample of its five minutes, and return the partial's key."""
    key = (KEY, window_start(span.time_ms, ROLLUP_SIZE_MS), ROLLUP_SIZE_MS)
    partial = partial_of(partials, key, ENVIRONMENT, SERVICE)
    partial.readings += 1
    if partial.traces is None:
        partial.traces = TraceSample(share=config.trace_sample)
    partial.traces.add(span.key, span.stub, config.max_span_stubs)
    return key


def partial_of(partials: dict[PartialKey, Partial], key: PartialKey, environment: str, service: str) -> Partial:
    """Return the partial of a key, made if it is new."""
    partial = partials.get(key)
    if partial is None:
        _, start_ms, size_ms = key
        partial = partials[key] = Partial(environment=environment, service=service, start_ms=start_ms, size_ms=size_ms)
    return partial


def count_readings(partial: Partial, version: str, n: int, config: IngestConfig) -> None:
    """Count ``n`` readings of a version (empty: of none that is known)."""
    partial.readings += n
    if version:
        counted = counted_as(version, partial.versions, config.max_versions, config.names_over_limit, int.__add__)
        partial.versions[counted] = partial.versions.get(counted, 0) + n


def operation_of(partial: Partial, name: str, config: IngestConfig) -> OperationPartial:
    """Return the part of a partial in which an operation is counted; while no other makes room, always the same one."""
    operations = partial.operations
    operation = operations.get(name)
    if operation is None or config.names_over_limit == "evict":
        if name or name in operations:
            name = counted_as(name, operations, config.max_operations, config.names_over_limit, _merged_operations)
        operation = operations.get(name)
        if operation is None:
            operation = operations[name] = OperationPartial()
    return operation


def _place(reading: Reading) -> tuple[int, int]:
    """Return the time (ms) whose window a reading belongs to, and that window's size (ms).

    A summary belongs whole to the window that holds its last millisecond; a gauge counts as measured at the end of
    its interval, likewise; a change, and feedback, belongs where it was published.
    """
    match reading:
        case SummaryReading():
            return reading.time_ms - 1, size_for_interval(reading.interval_ms)
        case GaugeReading() | UsageReading() | LevelReading():
            return reading.time_ms - 1, BASE_SIZE_MS
        case PointsReading():
            return reading.time_ms - 1, size_for_interval(reading.interval_ms) if reading.interval_ms else BASE_SIZE_MS
        case ChangeReading() | FeedbackReading():
            return reading.published_ms, BASE_SIZE_MS
        case _:
            return reading.time_ms, BASE_SIZE_MS


def _merged_operations(one: OperationPartial, other: OperationPartial) -> OperationPartial:
    return merge_operations([one, other])


def _merged_gauges(one: GaugePartial, other: GaugePartial) -> GaugePartial:
    one.absorb(other)
    return one


def _merged_calls(one: CallPartial, other: CallPartial) -> CallPartial:
    return CallPartial(calls=one.calls + other.calls, errors=one.errors + other.errors)


def _add_request(operation: OperationPartial, is_error: bool, duration_ms: float | None) -> None:
    operation.requests += 1
    if is_error:
        operation.errors += 1
        if duration_ms is not None:
            if operation.latency_failed is None:
                operation.latency_failed = Histogram()
            operation.latency_failed.add(duration_ms)
    elif duration_ms is not None:
        if operation.latency_ok is None:
            operation.latency_ok = Histogram()
        operation.latency_ok.add(duration_ms)


def _add_summary(operation: OperationPartial, summary: SummaryReading) -> None:
    operation.requests += summary.requests
    operation.errors += summary.errors
    if summary.latency is not None:
        name = f"latency_{summary.outcome}"
        if getattr(operation, name) is None:
            setattr(operation, name, Histogram())
        getattr(operation, name).absorb(summary.latency)
    if summary.quantiles_ms and summary.requests:
        for name, value_ms in summary.quantiles_ms.items():
            quantile = operation.quantiles.get(name)
            if quantile is None:
                quantile = operation.quantiles[name] = Quantile()
            quantile.weight += summary.requests
            quantile.weighted_ms += summary.requests * value_ms


def _add_gauge(partial: Partial, reading: GaugeReading, config: IngestConfig) -> None:
    gauge = _gauge(partial, reading.resource, config)
    gauge.n += 1
    gauge.sum += reading.utilization
    gauge.max = max(gauge.max, reading.utilization)


def _gauge(partial: Partial, resource: str, config: IngestConfig) -> GaugePartial:
    name = counted_as(resource, partial.gauges, config.max_resources, config.names_over_limit, _merged_gauges)
    gauge = partial.gauges.get(name)
    if gauge is None:
        gauge = partial.gauges[name] = GaugePartial()
    return gauge


def _add_usage(gauge: GaugePartial, reading: UsageReading) -> None:
    gauge.used += reading.used
    gauge.limit += reading.limit
    if not reading.is_part:
        gauge.n_used += not reading.limit  # also when nothing is used
        gauge.n_limit += reading.limit > 0


def _add_line(partial: Partial, reading: LogReading, config: IngestConfig) -> None:
    """Count a line under what it says; a bad one finds room where others find none."""
    line = clean_line(reading.text, config.max_template_length)
    said = masked(line, config.max_template_length)
    if not said:
        return
    known, severity = partial.templates, reading.severity
    counted = known.get(said)
    if counted is None:
        limit = config.max_templates * (2 if rank(severity) >= _BAD else 1)
        said = first_come(said, known, limit, OTHER_TEMPLATE)
        counted = known.get(said)
        if counted is None:
            counted = known[said] = TemplatePartial()
    if counted.n and reading.time_ms > counted.time_ms and severity == counted.severity:  # nearly all lines
        counted.n += 1
        return
    is_later = counted.n > 0 and reading.time_ms > counted.time_ms
    example = counted.example if is_later else example_of(line, config.max_template_length)
    counted.absorb(1, severity, example, reading.time_ms)


def _add_points(partial: Partial, reading: PointsReading, config: IngestConfig) -> None:
    """Keep points as they came: what they add is reckoned where all of their series comes together. Deltas are added up."""
    known = partial.points
    for name, meaning, point in reading.points:
        series = known.get(name)
        if series is None:
            if len(known) < config.max_series:
                known[name] = Series(meaning=meaning, points=[point])
            else:
                partial.over_limit += 1
            continue
        points = series.points
        if meaning.is_delta:
            points[0] = summed(points[0], point)
        elif len(points) < MAX_POINTS:
            points.append(point)
        else:
            partial.over_limit += 1


def _exemplars(reading: Reading) -> Sequence[Exemplar]:
    """Return the single requests that a reading names by their trace ids."""
    match reading:
        case RequestReading(trace_id=trace_id) if trace_id:
            failed, value_ms = reading.is_error, reading.duration_ms
            return (Exemplar(trace_id=trace_id, time_ms=reading.time_ms, value_ms=value_ms, failed=failed),)
        case LogReading(trace_id=trace_id, is_error=failed) if trace_id and (failed or reading.is_request):
            return (Exemplar(trace_id=trace_id, time_ms=reading.time_ms, value_ms=reading.duration_ms, failed=failed),)
        case SummaryReading(exemplars=exemplars) | PointsReading(exemplars=exemplars):
            return exemplars
        case _:
            return ()


def _add_call(partial: Partial, reading: CallReading, config: IngestConfig) -> None:
    calls = partial.calls
    name = counted_as(reading.callee, calls, config.max_callees, config.names_over_limit, _merged_calls, other=NO_ROOM)
    call = calls.get(name)
    if call is None:
        call = calls[name] = CallPartial()
    call.calls += 1
    call.errors += reading.is_error


def _add_log(partial: Partial, reading: LogReading, config: IngestConfig) -> None:
    partial.logs[reading.severity] = partial.logs.get(reading.severity, 0) + 1
    if reading.text and config.max_templates:
        _add_line(partial, reading, config)
    if reading.is_request:
        _add_request(operation_of(partial, reading.origin.operation, config), reading.is_error, reading.duration_ms)


def _add_change(partial: Partial, change: ChangeReading, config: IngestConfig) -> None:
    if len(partial.changes) < config.max_changes:
        partial.changes.append(
            ChangeNote(
                type=change.type,
                time_ms=change.time_ms,
                until_ms=change.until_ms,
                version=change.origin.version,
                by=change.by,
                note=change.note,
            )
        )


def _add_feedback(partial: Partial, said: FeedbackReading, config: IngestConfig) -> None:
    if len(partial.feedback) < config.max_changes:
        partial.feedback.append(
            FeedbackNote(verdict=said.verdict, time_ms=said.time_ms, condition=said.condition, by=said.by, note=said.note)
        )
