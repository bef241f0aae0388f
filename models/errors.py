"""What goes wrong with a model: its stored state cannot be read."""

from collections.abc import Mapping
from typing import Any


class ModelStateError(ValueError):
    """A stored state has another version, or lacks something: start cold on purpose, do not guess."""


def read_state(state: Mapping[str, Any], kind: str, version: int) -> Mapping[str, Any]:
    """Return ``state`` if it is of this kind and version.

    Raises
    ------
    ModelStateError
        If it is not.

    """
    if state.get("kind") != kind or state.get("v") != version:
        raise ModelStateError(f"expected state of {kind} v{version}, got {state.get('kind')!r} v{state.get('v')!r}")
    return state
