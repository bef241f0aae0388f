"""OTLP in JSON becomes the protobuf messages that it stands for; where a part cannot, only that part is left out, and refused.

What the format asks for beyond protobuf's own JSON mapping: ids are hexadecimal, keys are lowerCamelCase, unknown ones
are ignored.
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.ingest.decoders.harvest import refused_message
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.validation import shown

M = TypeVar("M", bound=Message)
ENVELOPES = ("resourceMetrics", "resourceLogs", "resourceSpans")
_ITEMS = ("dataPoints", "logRecords", "spans")
"""Arrays whose elements are readings: one that is wrong does not take the others with it."""
_IDS = ("traceId", "spanId", "parentSpanId")


def from_json(config: IngestConfig, value: bytes, kind: type[M]) -> tuple[M, list[Rejection]] | Decoded:
    """Return the message that JSON stands for, with what of it is refused; or that it is refused whole."""
    records = json_records(config, value)
    if isinstance(records, Rejection):
        return Decoded(rejections=[records])
    content = records[0]
    if len(records) != 1 or type(content) is not dict:
        return refused_message(RejectReason.WRONG_TYPE, f"a message must be one OTLP object, got {shown(records)}")
    plain = {key: _plain(child) for key, child in content.items()}
    message = kind()
    try:
        ParseDict(plain, message, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        return _in_parts(plain, kind, problem)
    return message, []


def _in_parts(plain: dict[str, object], kind: type[M], problem: Exception) -> tuple[M, list[Rejection]] | Decoded:
    """Take out what cannot be read, item by item; the message is refused whole when it still cannot be read."""
    rejections: list[Rejection] = []
    _Sieve(rejections, kind).go(plain)
    message = kind()
    try:
        ParseDict(plain, message, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError):
        return refused_message(RejectReason.INVALID_JSON, f"a message must be OTLP in JSON: {_told(problem)}")
    return message, rejections


class _Sieve:
    """Takes items out of their arrays that cannot be read alone; indexes count all items of the message."""

    def __init__(self, rejections: list[Rejection], kind: type[Message]) -> None:
        self._rejections, self._kind, self._index = rejections, kind, -1

    def go(self, node: object) -> None:
        """Sieve a container and all within."""
        if isinstance(node, dict):
            for key, child in node.items():
                if key in _ITEMS and isinstance(child, list):
                    node[key] = [item for item in child if self._is_sound(item)]
                else:
                    self.go(child)
            self._sieve_points(node)
        elif isinstance(node, list):
            for child in node:
                self.go(child)

    def _sieve_points(self, node: dict[str, object]) -> None:
        """Points need their metric's kind to be read: each is tried within a metric of its own."""
        for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
            data = node.get(kind)
            if isinstance(data, dict) and isinstance(data.get("dataPoints"), list):
                data["dataPoints"] = [
                    point
                    for point in data["dataPoints"]
                    if self._reads({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{kind: {"dataPoints": [point]}}]}]}]})
                ]

    def _is_sound(self, item: object) -> bool:
        self._index += 1
        if isinstance(item, dict):
            return True
        self._refuse(f"must be an object, got {shown(item)}")
        return False

    def _reads(self, content: dict[str, object]) -> bool:
        try:
            ParseDict(content, self._kind(), ignore_unknown_fields=True)
        except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as problem:
            self._refuse(_told(problem))
            return False
        return True

    def _refuse(self, detail: str) -> None:
        self._rejections.append(Rejection(reason=RejectReason.WRONG_TYPE, detail=detail, index=max(self._index, 0)))


def _plain(node: object) -> object:
    """Return a copy without keys in snake_case (unknown fields), and with ids as protobuf's own JSON wants them."""
    if isinstance(node, dict):
        return {key: _id(child) if key in _IDS else _plain(child) for key, child in node.items() if "_" not in key}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(child) for child in node]
    return node


def _id(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return b64encode(bytes.fromhex(value)).decode()
    except ValueError:
        return ""


def _told(problem: Exception) -> str:
    return shown(str(problem))
