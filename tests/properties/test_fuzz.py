"""A short run of the fuzzer for every decoder; `make fuzz DECODER=name` is the long one."""

import math
import mmap

import pytest

from benchmarks import fuzz as fuzzing
from benchmarks.fuzz_samples import samples
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.registry import DECODERS


@pytest.mark.parametrize("decoder", ["auto", *samples()])
def test_no_input_escapes(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "MAX_SECONDS", math.inf)  # `make fuzz` judges time: here coverage and other tests slow it down

    found = fuzzing.fuzz(decoder, 3_000, seed=1)

    assert found.problems == []
    assert found.n_readings > 100
    assert found.n_rejections > 100
    assert 0 < found.most_traced < fuzzing.MAX_INPUT_MB * 1e6


def test_every_decoder_is_fuzzed() -> None:
    assert {"auto", *samples()} == set(DECODERS)


def test_an_exception_that_escapes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(_config: IngestConfig, _topic: str, record: InRecord) -> Decoded:
        if b"\xff" in (record.value or b""):
            raise ValueError("planted")
        return Decoded()

    monkeypatch.setitem(DECODERS, "lines", decode)

    assert "planted" in fuzzing.fuzz("lines", 3_000, seed=1).problems[0]


@pytest.mark.parametrize(("n_bytes", "how"), [(150_000_000, "Python allocated"), (None, "rose by")])
def test_an_input_that_takes_too_much_memory_is_found(monkeypatch: pytest.MonkeyPatch, n_bytes: int | None, how: str) -> None:
    """By Python's account; and by the kernel's, which sees pages that are mapped and written to by whomever."""

    def decode(_config: IngestConfig, _topic: str, record: InRecord) -> Decoded:
        if record.offset == 5:
            if n_bytes is not None:
                bytes(n_bytes)
            else:
                with mmap.mmap(-1, 150_000_000) as pages:
                    pages.write(b"\xff" * 1_000_000)
                    for at in range(0, len(pages), mmap.PAGESIZE):
                        pages[at] = 1
        return Decoded()

    monkeypatch.setitem(DECODERS, "lines", decode)

    found = fuzzing.fuzz("lines", 3_000, seed=1)

    assert [problem for problem in found.problems if how in problem and problem.partition(": ")[0].endswith("MB")]
    assert found.n == 6
