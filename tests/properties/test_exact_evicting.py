"""Where services and names make room, each window of each service is exact all the same, whatever crashes."""

from dataclasses import replace

import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.keys import service_key
from pipeline.contracts.readings import Reading
from pipeline.ingest import reduce_columns
from pipeline.ingest.reduce import PartialKey
from pipeline.ingest.reduce_columns import ChunkFold
from pipeline.ingest.source import SourceReader
from tests.properties import window_world
from tests.properties.test_exact_windows import check
from tests.properties.window_world import CONFIG, Rules, World

TIGHT = replace(CONFIG, max_services=2, services_over_limit="evict", max_operations=1, names_over_limit="evict")


def run(seed: int, monkeypatch: pytest.MonkeyPatch, config: IngestConfig = TIGHT) -> dict[str, int]:
    monkeypatch.setattr(window_world, "CONFIG", config)
    world = World(seed, Rules())
    world.run()
    return check(world)


@pytest.mark.parametrize("seed", range(6))
def test_each_window_of_each_of_more_services_than_fit_is_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    begin = SourceReader.begin_chunk
    monkeypatch.setattr(
        SourceReader, "begin_chunk", lambda reader, config: (chunks.append(reader._fold.services.n_known), begin(reader, config))[1]
    )

    seen = run(seed, monkeypatch)

    assert seen["records"] > 100
    assert seen["crashes"] > 5
    assert max(chunks) == 3  # the limit, and those of one more message
    assert chunks.count(3) > 10


def test_readings_of_further_services_that_count_as_other_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="published, true"):
        run(0, monkeypatch, replace(TIGHT, services_over_limit="other"))


def test_to_forget_a_service_within_its_chunk_would_lose_what_it_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = reduce_columns.fold

    def forgetful(partials: dict[PartialKey, object], reading: Reading, config: IngestConfig) -> PartialKey:
        key: PartialKey = fold(partials, reading, config)  # type: ignore[arg-type]
        own = service_key(reading.origin.environment, reading.origin.service)
        others = list(dict.fromkeys(service for service, _, _ in partials if service != own))
        for gone in [] if len(others) < 2 else [old for old in partials if old[0] == others[0]]:
            del partials[gone]
        return key

    def flushed(self: ChunkFold, reading: Reading) -> None:
        add_one(self, reading)
        for key in [key for key in self.dirty if key not in self.partials]:
            del self.dirty[key]

    add_one = ChunkFold._add_one
    monkeypatch.setattr(reduce_columns, "fold", forgetful)
    monkeypatch.setattr(ChunkFold, "_add_one", flushed)

    with pytest.raises(AssertionError, match="published, true"):
        run(0, monkeypatch, CONFIG)
