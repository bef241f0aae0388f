"""What is decompressed is what aiokafka's own codecs make, never more than the limit, and never in more memory than that."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import cramjam
import pytest
from aiokafka import codec as upstream
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters import codecs
from pipeline.adapters.codecs import DECODE_BY_NAME, BatchBroken, BatchTooLarge, bounded

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": upstream.gzip_encode,
    "snappy": upstream.snappy_encode,
    "snappy raw": lambda data: bytes(upstream.snappy_encode(data, xerial_compatible=False)),
    "lz4": upstream.lz4_encode,
    "zstd": upstream.zstd_encode,
}
NAMES = sorted(ENCODE)
MEMBER = zlib.decompressobj
BOMB = """
import resource, sys, cramjam, zlib
from pipeline.adapters.codecs import DECODE_BY_NAME, BatchTooLarge, bounded
MEGABYTE = b"\\0" * 2**20
def made(name):
    if name == "gzip":
        squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
        return b"".join(squeeze.compress(MEGABYTE) for _ in range(1024)) + squeeze.flush()
    if name == "snappy":
        return b"\\x80\\x80\\x80\\x80\\x04" + bytes(cramjam.snappy.compress_raw(MEGABYTE))[3:]
    squeeze = cramjam.zstd.Compressor(3) if name == "zstd" else cramjam.lz4.Compressor(level=9)
    for _ in range(1024):
        squeeze.compress(MEGABYTE)
    return bytes(squeeze.finish())
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
bomb = made(sys.argv[1])
before = peak()
with bounded(2**24):
    try:
        DECODE_BY_NAME[sys.argv[1] + "_decode"](bomb)
    except BatchTooLarge as refused:
        assert refused.payload == bomb
        print(peak() - before)
"""
"""A gigabyte of zeros; prints by how many MiB the process grew at most when it was refused at 16 MiB."""


def decoded(name: str, payload: bytes) -> bytes:
    return DECODE_BY_NAME[f"{name.split(maxsplit=1)[0]}_decode"](memoryview(payload))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(min_size=1, max_size=2_000), times=st.sampled_from([1, 50, 5_000]))
def test_it_makes_what_aiokafka_makes(name: str, data: bytes, times: int) -> None:
    payload = ENCODE[name](data * times)

    assert decoded(name, payload) == getattr(upstream, f"{name.split(maxsplit=1)[0]}_decode")(payload) == data * times


@pytest.mark.parametrize("n", [1_000, 5_000_000])
@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_limit_is_allowed_and_a_byte_more_is_refused_with_what_was_given(name: str, n: int) -> None:
    payload = ENCODE[name](b"ab" * (n // 2))
    with bounded(n):
        assert len(decoded(name, payload)) == n

    with bounded(n - 1), pytest.raises(BatchTooLarge, match=f"at most {n - 1} bytes") as refused:
        decoded(name, payload)

    assert refused.value.payload == payload


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_a_gigabyte_out_of_little_is_refused_in_the_memory_of_the_limit(name: str) -> None:
    ran = subprocess.run([sys.executable, "-c", BOMB, name], capture_output=True, text=True, check=True)

    assert int(ran.stdout) < 64


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"none of it at all", lambda _: b""])
def test_what_the_codec_did_not_make_is_broken_and_is_no_other_exception(name: str, damage: Callable[[bytes], bytes]) -> None:
    payload = damage(ENCODE[name](bytes(range(256)) * 500))
    if not payload and name == "gzip":
        assert decoded(name, payload) == upstream.gzip_decode(payload) == b""
        return

    with pytest.raises(BatchBroken, match="does not decompress"):
        decoded(name, payload)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xfc", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
def test_a_snappy_block_that_claims_an_impossible_size_ends(size: bytes) -> None:
    payload = upstream.snappy_encode(b"x" * 100)

    with pytest.raises(BatchBroken, match="a snappy block of"):
        decoded("snappy", payload[:16] + size + payload[20:])


def test_the_limit_holds_for_all_blocks_and_members_together() -> None:
    many = upstream.snappy_encode(b"x" * 100_000)
    members = gzip.compress(b"x" * 600) + gzip.compress(b"y" * 600)

    with bounded(99_999), pytest.raises(BatchTooLarge):
        decoded("snappy", many)
    with bounded(1_199), pytest.raises(BatchTooLarge):
        decoded("gzip", members)
    assert decoded("gzip", members + bytes(5)) == b"x" * 600 + b"y" * 600


@st.composite
def gzip_streams(draw: st.DrawFn) -> bytes:
    """Draw members of all sizes, with zeros between some, and some streams that are cut or have a wrong byte."""
    content, times, zeros = st.binary(max_size=1_500), st.sampled_from([0, 1, 3, 700]), st.sampled_from([0, 0, 0, 3, 5_000])
    member = st.builds(lambda data, n, n_zeros: gzip.compress(data * n) + bytes(n_zeros), content, times, zeros)
    stream = bytearray(b"".join(draw(st.lists(member, max_size=5))))
    if stream and draw(st.booleans()):
        stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return bytes(stream[: draw(st.sampled_from([len(stream), draw(st.integers(0, len(stream)))]))])


@given(stream=gzip_streams())
def test_of_many_members_it_makes_what_pythons_gzip_makes(stream: bytes) -> None:
    try:
        expected = gzip.decompress(stream)
    except (EOFError, OSError, zlib.error):
        with pytest.raises(BatchBroken):
            decoded("gzip", stream)
    else:
        assert decoded("gzip", stream) == expected


class Weighed:
    """A gzip member's decompressor that knows how many bytes it was given, and how many of them it gave back."""

    n_bytes = 0

    def __init__(self, wbits: int) -> None:
        self._member = MEMBER(wbits=wbits)

    def decompress(self, data: bytes, most: int) -> bytes:
        part = self._member.decompress(data, most)
        Weighed.n_bytes += len(data) + len(self.unused_data)
        return part

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data


def test_no_member_moves_all_that_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = gzip.compress(b"") * 5_000 + gzip.compress(bytes(range(256)) * 10_000)
    n_members = 5_001
    monkeypatch.setattr(codecs.zlib, "decompressobj", Weighed)

    assert decoded("gzip", stream) == bytes(range(256)) * 10_000

    assert Weighed.n_bytes < 2 * len(stream) + 2 * 512 * n_members


def test_the_codec_says_it_with_the_words_that_it_is_recognized_by() -> None:
    with pytest.raises(cramjam.DecompressionError, match="failed to write whole buffer"):
        cramjam.zstd.decompress_into(upstream.zstd_encode(b"x" * 100), bytearray(10))
    with pytest.raises(cramjam.DecompressionError, match="failed to write whole buffer"):
        cramjam.lz4.decompress_into(upstream.lz4_encode(b"x" * 100), bytearray(10))
