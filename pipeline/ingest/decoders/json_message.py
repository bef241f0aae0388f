"""Which JSON records a message holds: a record, or an array of records, within the limits of the configuration."""

import json
import re

import orjson

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Rejection, RejectReason
from pipeline.ingest.validation import shown

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""An unterminated string reaches to the end, so that each byte is looked at once."""


def json_records(config: IngestConfig, value: bytes) -> list[object] | Rejection:
    """Return the records of a message (of one record: a list of it), or why the whole message is refused.

    What a strict parser refuses and Python's own reads (``NaN``, ``Infinity``, ``1e999``, lone surrogates) is let
    through to the field rules, so that the refusal names the field, and the records around it are counted.
    """
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as problem:
        parsed = _read_leniently(config, value, problem)
        if isinstance(parsed, Rejection):
            return parsed
    records = _limited(config, parsed)
    if not isinstance(records, Rejection) and _may_be_deep(config, value) and _is_deeper(parsed, config.max_depth):
        return _too_deep(config)
    return records


def is_array(value: bytes) -> bool:
    """Return whether a message is an array of records, so that a rejection names the record's index."""
    return value.lstrip()[:1] == b"["


def _limited(config: IngestConfig, parsed: object) -> list[object] | Rejection:
    if type(parsed) is dict:
        return [parsed]
    if type(parsed) is not list:
        detail = f"a message must be an object, or an array of objects, got {shown(parsed)}"
        return Rejection(reason=RejectReason.WRONG_TYPE, detail=detail)
    if not parsed:
        return Rejection(reason=RejectReason.EMPTY, detail="an array must hold at least one record")
    if len(parsed) > config.max_records_per_message:
        detail = f"an array must hold at most {config.max_records_per_message} records, got {len(parsed)}"
        return Rejection(reason=RejectReason.TOO_MANY_RECORDS, detail=detail)
    return parsed


def _may_be_deep(config: IngestConfig, value: bytes) -> bool:
    """Nesting takes brackets: the common message has too few of them for a closer look."""
    return value.count(b"{") + value.count(b"[") > config.max_depth


def _is_deeper(parsed: object, max_depth: int) -> bool:
    """Return whether containers nest deeper than ``max_depth``; level by level, because recursion has a limit."""
    level = [parsed]
    for _ in range(max_depth):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container if isinstance(container, list) else ())
            if type(child) is dict or type(child) is list
        ]
        if not level:
            break
    return bool(level)


def _read_leniently(config: IngestConfig, value: bytes, problem: orjson.JSONDecodeError) -> object:
    if _may_be_deep(config, value) and _nests_deeper(value, config.max_depth):
        return _too_deep(config)
    try:
        text = value.decode()
    except UnicodeDecodeError as invalid:
        detail = f"a message must be UTF-8, got byte 0x{value[invalid.start]:02x} at byte {invalid.start}: {invalid.reason}"
        return Rejection(reason=RejectReason.INVALID_UTF8, detail=detail)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError also for an integer of more than 4,300 digits
        around = shown(text[problem.pos : problem.pos + 20])
        return Rejection(reason=RejectReason.INVALID_JSON, detail=f"a message must be JSON: {problem}, at {around}")


def _nests_deeper(value: bytes, max_depth: int) -> bool:
    """Return whether brackets outside of strings nest too deep in what need not be JSON, in at most one pass."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(value):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            if depth > max_depth:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _too_deep(config: IngestConfig) -> Rejection:
    return Rejection(reason=RejectReason.TOO_DEEP, detail=f"a message must nest at most {config.max_depth} levels deep")
