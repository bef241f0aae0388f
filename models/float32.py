"""Numbers as the memories hold them: 32 bits in a row, and back from a snapshot exactly."""

import base64
import binascii
import math
import sys
from array import array

_BOX = array("f", [0.0])
LARGEST = 1e18
"""Values are cut here, so that sums of their squares are still numbers in 32 bits."""


def as_float32(value: float) -> float:
    """Return the nearest number that a memory can hold, within +-1e18."""
    _BOX[0] = value if -LARGEST < value < LARGEST else math.copysign(LARGEST, value)
    return _BOX[0]


def to_bytes(values: "array[float]") -> bytes:
    """Return the numbers in little-endian order, whatever machine this is."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def from_bytes(data: object, typecode: str = "f") -> "array[float]":
    """Return the numbers of :func:`to_bytes`; text is taken for base64, which is what JSON makes of bytes.

    Raises
    ------
    ValueError
        If it is neither, or not a whole number of numbers.

    """
    if isinstance(data, str):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error as problem:
            raise ValueError(f"not base64: {problem}") from problem
    if not isinstance(data, bytes):
        raise ValueError(f"expected bytes, got {type(data).__name__}")  # noqa: TRY004 -- one error for all that is unreadable
    values: array[float] = array(typecode)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    if any(value != value or value in (float("inf"), float("-inf")) for value in values):
        raise ValueError("not all are finite numbers")
    return values
