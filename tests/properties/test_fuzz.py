"""A short run of the fuzzer for every decoder; `make fuzz DECODER=name` is the long one."""

import pytest

from benchmarks import fuzz as fuzzing
from benchmarks.fuzz_samples import samples
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.registry import DECODERS


@pytest.mark.parametrize("decoder", ["auto", *samples()])
def test_no_input_escapes(decoder: str) -> None:
    found = fuzzing.fuzz(decoder, 3_000, seed=1)

    assert found.problems == []
    assert found.n_readings > 100
    assert found.n_rejections > 100


def test_every_decoder_is_fuzzed() -> None:
    assert {"auto", *samples()} == set(DECODERS)


def test_an_exception_that_escapes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(_config: IngestConfig, _topic: str, record: InRecord) -> Decoded:
        if b"\xff" in (record.value or b""):
            raise ValueError("planted")
        return Decoded()

    monkeypatch.setitem(DECODERS, "lines", decode)

    assert "planted" in fuzzing.fuzz("lines", 3_000, seed=1).problems[0]
