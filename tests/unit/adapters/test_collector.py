"""The cyclic collector of a worker: what exists is exempt, and it still collects."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from pipeline.adapters.collector import OLD, YOUNG, settle_collector


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Node:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_what_exists_is_exempt_and_collections_are_seldom() -> None:
    settle_collector()

    assert gc.get_freeze_count() > 1_000
    assert gc.get_threshold()[0] == YOUNG
    assert gc.get_threshold()[2] == OLD


def test_a_cycle_made_later_is_still_freed_by_itself() -> None:
    settle_collector()
    watched = weakref.ref(Node())

    kept = [[] for _ in range(YOUNG + 1_000)]

    assert watched() is None
    assert len(kept) > YOUNG
