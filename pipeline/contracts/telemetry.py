"""What publishers send in Tocsin's own format: one record, or an array of records, a message.

These types describe the format for people, schemas and Tocsin's own senders. Ingest reads it with its own decoder,
which names the field, the value and the rule of whatever is wrong.
"""

from typing import Annotated, Any, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Time = Annotated[int | float, msgspec.Meta(description="epoch seconds below 1e11, ms below 1e14, us below 1e17, else ns")] | str
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Exponential(msgspec.Struct, kw_only=True, frozen=True):
    """Latencies (ms): bucket i covers ``(base^(offset+i), base^(offset+i+1)]``, base = 2^(2^-scale)."""

    scale: Annotated[int, msgspec.Meta(ge=-10, le=20)]
    offset: int
    counts: list[Count]
    zero_count: Count = 0
    sum: NonNegative = 0.0


class Explicit(msgspec.Struct, kw_only=True, frozen=True):
    """Latencies (ms) by ascending upper bounds; one count more than bounds."""

    bounds: list[float]
    counts: list[Count]
    sum: NonNegative = 0.0


class Quantiles(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Latencies (ms) as quantiles only: cannot be merged, so what they give is marked approximate."""

    p50: NonNegative | None = None
    p90: NonNegative | None = None
    p95: NonNegative | None = None
    p99: NonNegative | None = None
    mean: NonNegative | None = None


_LATENCY_SCHEMA = {
    "anyOf": [
        {"$ref": "#/$defs/Exponential"},
        {"$ref": "#/$defs/Explicit"},
        {"$ref": "#/$defs/Quantiles", "anyOf": [{"required": [name]} for name in Quantiles.__struct_fields__]},
    ]
}
"""msgspec cannot decode a union of untagged structs, so the field is a dict to it; the schema says what may be in it."""


class Common(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What every telemetry record may say about its origin."""

    service: Text
    time: Time
    environment: Text = "default"
    instance: str = ""
    version: str = ""
    operation: str = ""


class Request(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="request"):
    """One request; ``time`` is its end."""

    duration_ms: NonNegative
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | Literal["ok", "error"] | None = None
    error: bool | None = None


class Summary(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="summary"):
    """An interval of ``interval_s`` seconds that ends at ``time``."""

    interval_s: Annotated[float, msgspec.Meta(gt=0)]
    requests: Count
    errors: Count = 0
    latency_ms: Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=_LATENCY_SCHEMA)] | None = None


class Gauge(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="gauge"):
    """How full a resource is: ``utilization``, or ``value`` with ``limit`` and ``unit``."""

    resource: Text
    utilization: NonNegative | None = None
    value: NonNegative | None = None
    limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    unit: str | None = None


class Log(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="log"):
    """A log line; one with a ``status`` or a ``duration_ms`` is also a request."""

    severity: str | int
    body: str = ""
    duration_ms: NonNegative | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | Literal["ok", "error"] | None = None
    trace_id: str = ""


class Change(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="change"):
    """Something that people did to a service, on ``tocsin.changes``."""

    type: Text
    until: Time | None = None
    by: str = ""
    note: str = ""


class Feedback(Common, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="feedback"):
    """What a person says of a service's alerts, on ``tocsin.feedback``; without a ``condition``, of all that are in alarm."""

    verdict: Literal["false_positive", "expected", "new_normal"]
    condition: str = ""
    by: str = ""
    note: str = ""


Telemetry = Request | Summary | Gauge | Log | Change
