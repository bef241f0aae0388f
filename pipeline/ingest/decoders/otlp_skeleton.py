"""An OTLP metrics message with its points still as bytes: protobuf itself splits it, and nothing within a point is parsed yet.

The same field numbers as `opentelemetry/proto/metrics/v1/metrics.proto`, with ``bytes`` where that has messages: on the wire
they are the same. Parts that are merged when they come twice (a resource, a scope) are repeated here, so that it shows.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_PACKAGE = "tocsin.otlp"
_MANY, _ONE = FieldDescriptorProto.LABEL_REPEATED, FieldDescriptorProto.LABEL_OPTIONAL
_BYTES, _TEXT, _NUMBER, _MESSAGE = (
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_MESSAGE,
)
Fields = Mapping[str, tuple[int, "FieldDescriptorProto.Label.ValueType", "FieldDescriptorProto.Type.ValueType", str]]

_MESSAGES: Mapping[str, Fields] = {
    "Request": {"resource_metrics": (1, _MANY, _MESSAGE, "Sender")},
    "Sender": {"resource": (1, _MANY, _BYTES, ""), "scope_metrics": (2, _MANY, _MESSAGE, "Scope")},
    "Scope": {"scope": (1, _MANY, _BYTES, ""), "metrics": (2, _MANY, _BYTES, "")},
    "Metric": {
        "name": (1, _ONE, _TEXT, ""),
        "description": (2, _ONE, _TEXT, ""),
        "unit": (3, _ONE, _TEXT, ""),
        "histogram": (9, _MANY, _MESSAGE, "Histogram"),
        "other": (5, _MANY, _BYTES, ""),
        "sum": (7, _MANY, _BYTES, ""),
        "exponential": (10, _MANY, _BYTES, ""),
        "summary": (11, _MANY, _BYTES, ""),
        "metadata": (12, _MANY, _BYTES, ""),
    },
    "Histogram": {"data_points": (1, _MANY, _BYTES, ""), "aggregation_temporality": (2, _ONE, _NUMBER, "")},
}


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="tocsin/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message: DescriptorProto = file.message_type.add(name=name)
        for field, (number, label, kind, inner) in fields.items():
            entry = message.field.add(name=field, number=number, label=label, type=kind)
            if inner:
                entry.type_name = f".{_PACKAGE}.{inner}"
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


_built = _classes()
Request, SkeletonMetric = _built["Request"], _built["Metric"]


class MetricPart(NamedTuple):
    """A metric: a histogram's points as bytes, or another one ``whole``; ``value`` is the metric itself."""

    value: bytes
    name: str
    unit: str
    temporality: int
    points: Sequence[bytes]
    n_points: int
    whole: Metric | None


class SenderPart(NamedTuple):
    """What one sender reports."""

    resource_bytes: bytes
    resource: Resource
    metrics: list[MetricPart]


def split(value: bytes, most: int) -> list[SenderPart] | None:
    """Return the parts of a message; ``None``: it is not of the usual form, or has more than ``most`` senders, scopes or metrics.

    Raises
    ------
    DecodeError
        If the bytes are no such message.

    """
    request = Request()
    request.ParseFromString(value)
    if len(request.resource_metrics) > most:
        return None
    parts: list[SenderPart] = []
    n_scopes = n_metrics = 0
    for sender in request.resource_metrics:
        n_scopes += len(sender.scope_metrics)
        n_metrics += sum(len(scope.metrics) for scope in sender.scope_metrics)
        if len(sender.resource) != 1 or max(n_scopes, n_metrics) > most:
            return None
        metrics = []
        for scope in sender.scope_metrics:
            if len(scope.scope) > 1 or not all(map(_is_scope, scope.scope)):
                return None
            metrics += [_metric(metric) for metric in scope.metrics]
        parts.append(SenderPart(sender.resource[0], Resource.FromString(sender.resource[0]), metrics))
    return parts


def _metric(value: bytes) -> MetricPart:
    metric = SkeletonMetric()
    metric.ParseFromString(value)
    if len(metric.histogram) == 1 and not (metric.other or metric.sum or metric.exponential or metric.summary or metric.metadata):
        data = metric.histogram[0]
        return MetricPart(
            value, metric.name, metric.unit, data.aggregation_temporality, data.data_points, len(data.data_points), None
        )
    whole = Metric.FromString(value)
    kind = whole.WhichOneof("data")
    n_points = 0 if kind is None else len(getattr(whole, kind).data_points)
    return MetricPart(value, whole.name, whole.unit, 0, (), n_points, whole)


@lru_cache(maxsize=256)
def _is_scope(value: bytes) -> bool:
    """Return whether bytes are an instrumentation scope; nothing of it is needed, but it may make the message unsound."""
    try:
        InstrumentationScope().ParseFromString(value)
    except DecodeError:
        return False
    return True
