"""What goes wrong with a model: its stored state cannot be read."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


class ModelStateError(ValueError):
    """A stored state has another version, or lacks something: start cold on purpose, do not guess."""


@contextmanager
def reading(state: Mapping[str, Any], kind: str, version: int, *older: int) -> Iterator[int]:
    """Read ``state`` in the block; whatever it lacks, or has of another shape, is the model's own error.

    The block is given the version found: ``version``, or one of the ``older`` ones that can still be read.

    Raises
    ------
    ModelStateError
        If ``state`` is not of this kind and of one of these versions, or cannot be read.

    """
    try:
        found = state["kind"], state["v"]
    except (KeyError, TypeError) as problem:
        raise ModelStateError(f"not a state: {problem!r}") from problem
    if found[0] != kind or found[1] not in (version, *older):
        raise ModelStateError(f"expected state of {kind} v{version}, got {found[0]!r} v{found[1]!r}")
    try:
        yield found[1]
    except ModelStateError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, struct.error) as problem:
        raise ModelStateError(f"state of {kind} v{version} cannot be read: {problem!r}") from problem


def numbers(values: Sequence[Any]) -> tuple[float, ...]:
    """Return the values, all of them numbers.

    Raises
    ------
    TypeError
        If one is none.

    """
    for value in values:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is no number")
    return tuple(values)


def number(value: Any) -> float:
    """Return the value, a number; see :func:`numbers`."""
    return numbers((value,))[0]
