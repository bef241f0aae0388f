"""Which values a field of a telemetry record may have, and how a refusal names field, value and rule.

``null`` is the same as absent, everywhere. Fields are read from what a JSON parser returned: nothing is converted
but an integer written as ``3.0``.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

from pipeline.contracts.readings import Origin, RejectReason
from pipeline.errors import FieldRefused

Fields = Mapping[str, object]

MAX_SHOWN = 80
"""Characters of a refused value that a rejection shows."""
MAX_COUNT = 10**10
"""Of one report: 30 million requests a second for its longest interval, while a chunk's sums stay below 2^63."""
DEFAULT_ENVIRONMENT = "default"

FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
"""Control characters, line separators, bidirectional overrides, byte order marks, lone surrogates."""
_FORBIDDEN_IN_NOTES = re.compile(FORBIDDEN.pattern.replace("\x00-\x1f", "\x00-\x08\x0b\x0c\x0e-\x1f"))
"""Notes are prose: tabs and line ends are theirs."""


def refused(reason: RejectReason, field: str, rule: str, value: object) -> FieldRefused:
    """Return the refusal of a field, to be raised."""
    return FieldRefused(reason, field, f"{field} {rule}, got {shown(value)}")


def missing(field: str) -> FieldRefused:
    """Return the refusal of a record that lacks a field, to be raised."""
    return FieldRefused(RejectReason.MISSING_FIELD, field, f"{field} is required")


def shown(value: object) -> str:
    r"""Return a value for people: at most 80 characters, control characters escaped; containers by their size.

    Examples
    --------
    >>> shown("a\x07"), shown(True), shown([1, 2]), shown(None)
    ("'a\\x07'", 'true', 'an array of 2', 'null')

    """
    if isinstance(value, str):
        text = repr(value[:MAX_SHOWN])
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = "null"
    elif isinstance(value, list):
        text = f"an array of {len(value)}"
    elif isinstance(value, dict):
        text = f"an object of {len(value)} fields"
    else:
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def number(value: object, field: str, low: float, high: float) -> float:
    """Return a number in ``[low, high]``.

    Raises
    ------
    FieldRefused
        If it is missing, no number, not finite or out of range.

    """
    if (type(value) is float or type(value) is int) and low <= value <= high:
        return float(value)
    raise _number_refused(value, field, f"must be a number from {low:g} to {high:g}")


def integer(value: object, field: str, low: int, high: int) -> int:
    """Return a whole number in ``[low, high]``.

    Raises
    ------
    FieldRefused
        If it is missing, no whole number, or out of range.

    """
    if type(value) is int and low <= value <= high:
        return value
    if type(value) is float and low <= value <= high and value.is_integer():
        return int(value)
    rule = f"must be a whole number from {low} to {high}"
    if type(value) is float and math.isfinite(value) and not value.is_integer():
        raise refused(RejectReason.WRONG_TYPE, field, rule, value)
    raise _number_refused(value, field, rule)


def count_or_zero(value: object, field: str) -> int:
    """Return a count in ``[0, 10^10]``; 0 when absent.

    Raises
    ------
    FieldRefused
        If it is no whole number, or out of range.

    """
    return 0 if value is None else integer(value, field, 0, MAX_COUNT)


def integers(value: object, field: str, high: int, max_length: int) -> list[int]:
    """Return an array of whole numbers, each in ``[0, high]``.

    Raises
    ------
    FieldRefused
        As :func:`integer`, naming the element; or if it is no array, or longer than ``max_length``.

    """
    array = _array(value, field, max_length)
    if set(map(type, array)) == {int}:
        numbers = cast("list[int]", array)
        if min(numbers) >= 0 and max(numbers) <= high:
            return numbers
    return [integer(element, f"{field}[{i}]", 0, high) for i, element in enumerate(array)]


def ascending(value: object, field: str, high: float, max_length: int) -> list[float]:
    """Return an array of strictly ascending numbers, each in ``[0, high]``.

    Raises
    ------
    FieldRefused
        As :func:`number`, naming the element; or if it is no array, longer than ``max_length``, or not ascending.

    """
    numbers = [number(element, f"{field}[{i}]", 0, high) for i, element in enumerate(_array(value, field, max_length))]
    for i in range(1, len(numbers)):
        if numbers[i] <= numbers[i - 1]:
            raise refused(
                RejectReason.INCONSISTENT, f"{field}[{i}]", f"must be above {numbers[i - 1]:g}, the one before it", numbers[i]
            )
    return numbers


def boolean(value: object, field: str) -> bool:
    """Return a boolean.

    Raises
    ------
    FieldRefused
        If it is anything else.

    """
    if type(value) is bool:
        return value
    if value is None:
        raise missing(field)
    raise refused(RejectReason.WRONG_TYPE, field, "must be true or false", value)


def name(value: object, field: str, max_length: int) -> str:
    """Return a name: text of 1 to ``max_length`` characters, not blank, without control characters.

    Raises
    ------
    FieldRefused
        If it is missing, no text, or breaks these rules.

    """
    if value is None:
        raise missing(field)
    text = optional_text(value, field, max_length)
    if not text or text.isspace():
        raise refused(RejectReason.INVALID_TEXT, field, "must not be blank", value)
    return text


def optional_text(value: object, field: str, max_length: int) -> str:
    """Return a text of up to ``max_length`` characters without control characters; ``""`` when absent.

    Raises
    ------
    FieldRefused
        If it is no text, or breaks these rules.

    """
    return _text(value, field, max_length, FORBIDDEN.search)


def prose(value: object, field: str, max_length: int) -> str:
    """Return a text like :func:`optional_text`, in which tabs and line ends are allowed.

    Raises
    ------
    FieldRefused
        If it is no text, or breaks these rules.

    """
    return _text(value, field, max_length, _FORBIDDEN_IN_NOTES.search)


def unchecked_text(value: object, field: str) -> str:
    """Return a text of any length and content, such as a log's body; ``""`` when absent. Whoever keeps it cleans and cuts it.

    Raises
    ------
    FieldRefused
        If it is neither absent nor text.

    """
    if value is None:
        return ""
    if type(value) is not str:
        raise refused(RejectReason.WRONG_TYPE, field, "must be text", value)
    return value


def origin(fields: Fields, max_length: int) -> Origin:
    """Return whom a record is about. The same texts give the same object, as long as they are remembered.

    Raises
    ------
    FieldRefused
        If one of the texts breaks its rules; ``service`` is required.

    """
    get = fields.get
    texts = (get("environment"), get("service"), get("version"), get("operation"), get("instance"))
    for text in texts:
        if text is not None and type(text) is not str:
            return _checked_origin(*texts, max_length)  # which refuses it; it might not even be hashable
    return _remembered_origin(*texts, max_length)


def _checked_origin(  # noqa: PLR0917 - a cache's key is positional
    environment: object, service: object, version: object, operation: object, instance: object, max_length: int
) -> Origin:
    checked_service = name(service, "service", max_length)
    checked_environment = DEFAULT_ENVIRONMENT if environment is None else name(environment, "environment", max_length)
    if "/" in checked_environment:
        raise refused(RejectReason.INVALID_TEXT, "environment", "must not contain '/', which ends it in keys", environment)
    return Origin(
        environment=checked_environment,
        service=checked_service,
        version=optional_text(version, "version", max_length),
        operation=optional_text(operation, "operation", max_length),
        instance=optional_text(instance, "instance", max_length),
    )


_remembered_origin = lru_cache(maxsize=8_192)(_checked_origin)
"""Senders repeat themselves. Refusals are not remembered; all keys are texts, so that equal keys are the same texts."""


def _text(value: object, field: str, max_length: int, find_forbidden: Callable[[str], re.Match[str] | None]) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise refused(RejectReason.WRONG_TYPE, field, "must be text", value)
    if len(value) > max_length:
        raise refused(RejectReason.INVALID_TEXT, field, f"must have at most {max_length} characters, has {len(value)}", value)
    if not (value.isascii() and value.isprintable()) and find_forbidden(value):
        raise refused(RejectReason.INVALID_TEXT, field, "must not contain control characters", value)
    return value


def _array(value: object, field: str, max_length: int) -> list[object]:
    if value is None:
        raise missing(field)
    if type(value) is not list:
        raise refused(RejectReason.WRONG_TYPE, field, "must be an array", value)
    if len(value) > max_length:
        raise refused(RejectReason.OUT_OF_RANGE, field, f"must have at most {max_length} elements", value)
    return value


def _number_refused(value: object, field: str, rule: str) -> FieldRefused:
    """Say what is wrong with a value that is not a number in its range."""
    if value is None:
        return missing(field)
    if type(value) is not float and type(value) is not int:
        return refused(RejectReason.WRONG_TYPE, field, rule, value)
    if type(value) is float and not math.isfinite(value):
        return refused(RejectReason.NOT_FINITE, field, rule, value)
    return refused(RejectReason.OUT_OF_RANGE, field, rule, value)
