from collections import Counter

import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from tests.poison import Poison, poison

NOW_MS = 1_767_571_210_000
ALL = poison(NOW_MS)


def test_there_are_at_least_forty_kinds_each_with_a_name_of_its_own() -> None:
    names = Counter(one.name for one in ALL)

    assert len(names) >= 45
    assert set(names.values()) == {1}


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_a_poisoned_message_is_rejected_for_the_right_reason_and_what_is_sound_in_it_counts(one: Poison) -> None:
    record = InRecord(offset=0, timestamp_ms=one.timestamp_ms, key=one.key, value=one.value, headers=one.headers)

    decoded = decode(IngestConfig(), one.topic, record)

    assert {rejection.reason for rejection in decoded.rejections} == one.reasons
    assert (len(decoded.rejections), len(decoded.readings)) == (one.n_rejected, one.n_good)


@pytest.mark.parametrize("one", [one for one in ALL if one.reasons], ids=lambda one: one.name)
def test_what_a_rejection_shows_is_short_and_safe_to_print(one: Poison) -> None:
    record = InRecord(offset=0, timestamp_ms=one.timestamp_ms, key=one.key, value=one.value)

    decoded = decode(IngestConfig(), one.topic, record)

    assert all(len(rejection.detail) < 400 and rejection.detail.isprintable() for rejection in decoded.rejections)
