"""Under which name something counts that may be over a limit: itself, ``other``, or itself because another made room."""

from collections.abc import Callable, Container, Sized
from typing import Protocol, TypeVar

from pipeline.contracts.config import OverLimit
from pipeline.contracts.partials import OTHER

V = TypeVar("V")


class _Names(Container[str], Sized, Protocol):
    """The names that are in use."""


def first_come(name: str, known: _Names, limit: int, other: str = OTHER) -> str:
    """Return the name under which to count: itself while there is room, else ``other``, which takes no room."""
    if name in known or len(known) - (other in known) - ("" in known) < limit:
        return name
    return other


def counted_as(
    name: str, known: dict[str, V], limit: int, over_limit: OverLimit, merged: Callable[[V, V], V], *, other: str = OTHER
) -> str:
    """Return the name under which to count: itself while there is room; past it, ``other``, or itself in another's place.

    Where the least recently used makes room (``evict``), the order of ``known`` is that of their last use, and what the one
    that goes has counted is added to ``other``. ``other`` and the empty name take no room, and never make any.

    Examples
    --------
    >>> known = {"a": 1, "b": 2}
    >>> counted_as("a", known, 2, "evict", int.__add__), [*known]
    ('a', ['b', 'a'])
    >>> counted_as("c", known, 2, "evict", int.__add__), known
    ('c', {'a': 1, 'other': 2})
    >>> counted_as("b", {"a": 1, "c": 1}, 2, "other", int.__add__)
    'other'

    """
    if over_limit == "other":
        return first_come(name, known, limit, other)
    if name in known:
        use(name, known)
    elif name and first_come(name, known, limit, other) != name:
        oldest = next(one for one in known if one and one != other)
        evicted = known.pop(oldest)
        known[other] = merged(known[other], evicted) if other in known else evicted
    return name


def use(name: str, known: dict[str, V]) -> None:
    """Note that a name was used last."""
    known[name] = known.pop(name)
