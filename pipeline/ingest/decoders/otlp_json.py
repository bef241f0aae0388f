"""OTLP in JSON becomes the protobuf messages that it stands for; where a part cannot, only that part is left out, and refused.

What the format asks for beyond protobuf's own JSON mapping: ids are hexadecimal, keys are lowerCamelCase, unknown ones
are ignored.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.ingest.decoders.harvest import refused_message
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.decoders.otlp_limits import too_many_objects
from pipeline.ingest.validation import shown

M = TypeVar("M", bound=Message)
ENVELOPES = ("resourceMetrics", "resourceLogs", "resourceSpans")
_UNREADABLE = (ParseError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What protobuf's reader of JSON raises on what it did not expect, such as an infinite enum."""
_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_IDS = ("traceId", "spanId", "parentSpanId")


def _in_metric(kind: str, point: object) -> dict[str, object]:
    """Return a message of one point, whose metric's kind says how it is read."""
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{kind: {"dataPoints": [point]}}]}]}]}


_ITEMS: dict[str, Callable[[object], dict[str, object]]] = {
    "logRecords": lambda item: {"resourceLogs": [{"scopeLogs": [{"logRecords": [item]}]}]},
    "spans": lambda item: {"resourceSpans": [{"scopeSpans": [{"spans": [item]}]}]},
}
"""Arrays whose elements are readings, and messages of one of them: one that is wrong does not take the others with it."""


def from_json(config: IngestConfig, value: bytes, kind: type[M]) -> tuple[M, list[Rejection]] | Decoded:
    """Return the message that JSON stands for, with what of it is refused; or that it is refused whole."""
    records = json_records(config, value)
    if isinstance(records, Rejection):
        return Decoded(rejections=[records])
    content = records[0]
    if len(records) != 1 or type(content) is not dict:
        return refused_message(RejectReason.WRONG_TYPE, f"a message must be one OTLP object, got {shown(records)}")
    too_many = too_many_objects(config, value, content)
    if too_many is not None:
        return too_many
    plain = {key: _plain(child) for key, child in content.items()}
    message = kind()
    try:
        ParseDict(plain, message, ignore_unknown_fields=True)
    except _UNREADABLE as problem:
        return _in_parts(plain, kind, problem, config.max_records_per_message)
    return message, []


def _in_parts(plain: dict[str, object], kind: type[M], problem: Exception, most: int) -> tuple[M, list[Rejection]] | Decoded:
    """Take out what cannot be read, item by item; the message is refused whole when it still cannot be read."""
    rejections: list[Rejection] = []
    _Sieve(rejections, kind, most).go(plain)
    message = kind()
    try:
        ParseDict(plain, message, ignore_unknown_fields=True)
    except _UNREADABLE:
        return refused_message(RejectReason.INVALID_JSON, f"a message must be OTLP in JSON: {_told(problem)}")
    return message, rejections


class _Sieve:
    """Takes items out of their arrays that cannot be read alone; indexes count all items of the message.

    An array that goes beyond the ``most`` items that a message may hold stays as it is: the message is refused whole then.
    """

    def __init__(self, rejections: list[Rejection], kind: type[Message], most: int) -> None:
        self._rejections, self._kind, self._most, self._index = rejections, kind, most, -1

    def go(self, node: object) -> None:
        """Sieve a container and all within."""
        if isinstance(node, dict):
            for key, child in node.items():
                if key in _KINDS and isinstance(child, dict) and isinstance(child.get("dataPoints"), list):
                    child["dataPoints"] = self._readable(child["dataPoints"], partial(_in_metric, key))
                elif key in _ITEMS and isinstance(child, list):
                    node[key] = self._readable(child, _ITEMS[key])
                else:
                    self.go(child)
        elif isinstance(node, list):
            for child in node:
                self.go(child)

    def _readable(self, items: list[object], alone: Callable[[object], dict[str, object]]) -> list[object]:
        if self._index + 1 + len(items) > self._most:
            return items
        return [item for item in items if self._reads(alone(item))]

    def _reads(self, content: dict[str, object]) -> bool:
        self._index += 1
        try:
            ParseDict(content, self._kind(), ignore_unknown_fields=True)
        except _UNREADABLE as problem:
            self._refuse(_told(problem), _field(problem))
            return False
        return True

    def _refuse(self, detail: str, field: str = "") -> None:
        rule = f"{field or 'an item'} must be as OTLP in JSON has it: {detail}"
        self._rejections.append(Rejection(reason=RejectReason.WRONG_TYPE, detail=rule, field=field, index=self._index))


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
    """Return the innermost of protobuf's own words: which field, and what is wrong with it."""
    return shown(str(problem).rsplit("Failed to parse ", maxsplit=1)[-1])


def _field(problem: Exception) -> str:
    name, _, rest = str(problem).rsplit("Failed to parse ", maxsplit=1)[-1].partition(" ")
    return name if rest.startswith("field") and name.isalnum() else ""
