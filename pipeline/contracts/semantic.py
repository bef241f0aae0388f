"""What other people's telemetry means: which metric, attribute or field becomes which golden signal (config/semantic.yaml)."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass

from pipeline.contracts.units import PARAMS

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Names = tuple[Name, ...]
TimeUnit = Literal["s", "ms", "us", "ns"]
MS_PER_UNIT: dict[str, float] = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class RequestMetric:
    """A metric that counts or times requests.

    Attributes
    ----------
    metric
        Names of the same metric: OpenTelemetry's, and what Prometheus makes of it (without ``_bucket``, ``_sum``, ``_count``).
    unit
        Of its values, where the metric itself names none.
    operation
        Attributes whose values, joined by a space, name the operation; those that are missing are left out.
    service
        Attributes that name the service asked, where that is not the sender (a database seen from its client); the first
        that is there. Empty: the sender.
    yields_to
        Not counted when the same sender reports this metric in the same message: old and new name of one thing.
    form
        ``duration``: a histogram or summary of durations; ``count``: a counter of requests.
    source
        Where this is written down.

    """

    metric: Annotated[Names, Field(min_length=1)]
    unit: TimeUnit = "s"
    operation: Names = ()
    service: Names = ()
    yields_to: str = ""
    form: Literal["duration", "count"] = "duration"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SaturationMetric:
    """A metric that says how full a resource is.

    Attributes
    ----------
    metric
        Names of the same metric.
    resource
        What is full: ``cpu``, ``memory`` ...
    label
        Attribute whose value is added to the resource's name (a mount point); empty: none.
    form
        ``ratio``: the value is the utilization; ``percent``: a hundred times that; ``free`` and ``free_percent``: what is
        left of it; ``used`` and ``limit``: the two are compared over the window; ``parts``: all values together are the
        limit, those of ``states`` are used.
    attribute, states
        Only values whose attribute is one of these states count (in ``parts``: count as used); empty: all.
    factor
        The value is multiplied by it first.
    counter
        The value counts what was used so far (bytes, seconds), where the message itself does not say so: what is used a
        second is compared with the limit.
    source
        Where this is written down.

    """

    metric: Annotated[Names, Field(min_length=1)]
    resource: Name
    label: str = ""
    form: Literal["ratio", "percent", "free", "free_percent", "used", "limit", "parts"] = "ratio"
    attribute: Names = ()
    states: Names = ()
    factor: Annotated[float, Field(gt=0, lt=1e12)] = 1.0
    counter: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class NamedSignal:
    """A number that is a signal of a service of its own; ``signal:NAME`` of a counter is judged, ``level:NAME`` of a gauge.

    Attributes
    ----------
    name
        What it is called in signals, findings and alerts.
    metric
        What measures it (OpenTelemetry's name, Prometheus's, collectd's with plugin and type, a native gauge's resource).
    form
        ``counter``: it grows, and its growth in a window is added up; ``gauge``: each value counts, and a window has their mean.
        What collectd measures can only be a gauge.
    attribute, states
        Only values whose attribute is one of these states count; empty: all.
    source
        Where this is written down.

    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9 _.-]{0,63}$")]
    metric: Annotated[Names, Field(min_length=1)]
    form: Literal["counter", "gauge"] = "counter"
    attribute: Names = ()
    states: Names = ()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Failures:
    """What makes a request a failed one.

    Attributes
    ----------
    status
        Attributes that hold an HTTP status; from 500 on it is a failure.
    type
        Attributes that are set on failures only.
    codes
        Attribute to those of its values that are failures.

    """

    status: Names = ()
    type: Names = ()
    codes: dict[Name, Names] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SpanNames:
    """What a span says.

    Attributes
    ----------
    operation
        Attributes whose values, joined by a space, name the operation; when none is there, the span's own name does.
    peer
        Attributes of a client's or producer's span that name the service it asks; the first that is there.

    """

    operation: Names = ()
    peer: Names = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class LogFields:
    """Fields of a structured log line; of each the first that is there. A dot goes into an object within.

    Attributes
    ----------
    service, environment, version, instance, operation
        Whom the line is about.
    time, severity, body
        When, how bad, the text.
    duration
        Field to the unit of the duration that it holds: such a line is also a request.
    status
        An HTTP status, likewise.
    trace
        The trace's id.

    """

    service: Names = ()
    environment: Names = ()
    version: Names = ()
    instance: Names = ()
    operation: Names = ()
    time: Names = ()
    severity: Names = ()
    body: Names = ()
    duration: dict[Name, TimeUnit] = field(default_factory=dict)
    status: Names = ()
    trace: Names = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SemanticMapping:
    """What other people's telemetry means. A change takes effect at the next chunk.

    Attributes
    ----------
    service, environment, version, instance
        Attributes (labels) that say whom telemetry is about; of each the first that is there.
    failures
        What makes a request a failed one.
    requests
        Metrics that count or time requests.
    saturation
        Metrics that say how full something is.
    signals
        Counters and gauges that are signals of their own.
    limits
        Of what senders tell only how much is used: resource (with the value of its label, or without) to service (or ``*``, any
        other) to how much there is, in the metric's unit, of a counter a second. Goes before limits that arrive.
    spans
        What a span says.
    logs
        Fields of structured log lines.
    requests_from
        Which kinds of telemetry count as requests, where a team sends several of the same traffic.

    """

    service: Names = ()
    environment: Names = ()
    version: Names = ()
    instance: Names = ()
    failures: Failures = field(default_factory=Failures)
    requests: tuple[RequestMetric, ...] = ()
    saturation: tuple[SaturationMetric, ...] = ()
    signals: tuple[NamedSignal, ...] = ()
    limits: dict[Name, dict[Name, Annotated[float, Field(gt=0, lt=1e300)]]] = field(default_factory=dict)
    spans: SpanNames = field(default_factory=SpanNames)
    logs: LogFields = field(default_factory=LogFields)
    requests_from: tuple[Literal["metrics", "spans", "logs"], ...] = ("metrics", "spans", "logs")
