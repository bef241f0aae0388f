"""Decompression that ends at a limit, in the place of aiokafka's, which makes whatever a record batch claims to be."""

import contextlib
import importlib
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import numpy as np
from aiokafka.errors import KafkaError

MAX_BATCH_BYTES = 67_108_864
"""Where nobody has said another limit: what Faust and aiokafka read their own way, changelogs for example."""
_SCRATCH_BYTES = 4_194_304
"""Kept per thread, because fresh memory costs more than decompression; larger batches get memory of their own."""
_FIRST_PIECE_BYTES, _LARGEST_PIECE_BYTES = 512, 1_048_576
"""Of a gzip member, that zlib is given at once; the next piece is twice as long. Members may be twenty bytes long, and many."""
_PADDING = re.compile(rb"\0*")
"""What may stand behind a gzip member."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_TOO_SMALL = "failed to write whole buffer"
"""What cramjam says when what it makes does not fit."""
_WITH_CODECS = (
    "aiokafka.record.default_records",
    "aiokafka.record.legacy_records",
    "aiokafka.record._crecords.default_records",
    "aiokafka.record._crecords.legacy_records",
)
_local = threading.local()


class BatchUnread(KafkaError):
    """A record batch was not decompressed; ``payload`` is what the broker gave. The driver makes a record of it."""

    def __init__(self, payload: bytes, problem: str) -> None:
        self.payload, self.problem = payload, problem
        super().__init__(problem)


class BatchTooLarge(BatchUnread):
    """It would have been larger than the limit."""

    def __init__(self, payload: bytes, limit: int) -> None:
        super().__init__(
            payload, f"a record batch must have at most {limit} bytes decompressed, has more (compressed {len(payload)})"
        )


class BatchBroken(BatchUnread):
    """Its bytes are not what its codec makes."""

    def __init__(self, payload: bytes, problem: object) -> None:
        super().__init__(payload, f"a record batch must be sound, it does not decompress: {problem}")


@contextlib.contextmanager
def bounded(limit: int) -> Iterator[None]:
    """Let nothing that this thread decompresses become larger than ``limit`` bytes."""
    _local.limit = limit
    try:
        yield
    finally:
        del _local.limit


def install() -> None:
    """Put these codecs in the place of aiokafka's, in its compiled parsers and in its plain ones."""
    for name in _WITH_CODECS:
        with contextlib.suppress(ImportError):  # wheels without compiled parsers
            module = importlib.import_module(name)
            for codec, decode in DECODE_BY_NAME.items():
                if hasattr(module, codec):  # old formats know no zstd
                    setattr(module, codec, decode)


def _whole(decompress: Callable[[bytes, int], bytes]) -> Callable[[Any], bytes]:
    """Return a codec as aiokafka calls it: within the limit of its thread, and with no exception but ``BatchUnread``."""

    def decode(payload: Any) -> bytes:
        data, limit = bytes(payload), getattr(_local, "limit", MAX_BATCH_BYTES)
        try:
            return decompress(data, limit)
        except BatchUnread:
            raise
        except (zlib.error, cramjam.DecompressionError, struct.error, ValueError) as problem:
            raise BatchBroken(data, problem) from problem

    return decode


def _gunzipped(data: bytes, limit: int) -> bytes:
    """Return the members of a gzip stream, in pieces: what is behind a member in its last piece is copied."""
    view, parts = memoryview(data), list[bytes]()
    at, room = 0, limit
    while at < len(data):
        member, size = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), _FIRST_PIECE_BYTES
        while not member.eof:
            piece = view[at : at + size]
            if not piece:
                raise ValueError("incomplete gzip stream")
            parts.append(member.decompress(piece, room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise BatchTooLarge(data, limit)
            at += len(piece) - len(member.unused_data)
            size = min(2 * size, _LARGEST_PIECE_BYTES)
        at = _PADDING.match(data, at).end()  # type: ignore[union-attr] # matches nothing, too
    return b"".join(parts)


def _unsnapped(data: bytes, limit: int) -> bytes:
    """Return a raw snappy block, or the blocks of xerial's framing; each says first how large it becomes."""
    if not data.startswith(_XERIAL) or len(data) <= _XERIAL_HEADER_BYTES:
        return _unsnapped_block(data, data, limit, limit)
    parts: list[bytes] = []
    at, room = _XERIAL_HEADER_BYTES, limit
    while at < len(data):
        (size,) = struct.unpack_from("!I", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            raise ValueError(f"a snappy block of {size} bytes where {len(data) - at} are left")
        parts.append(_unsnapped_block(data[at : at + size], data, room, limit))
        at += size
        room -= len(parts[-1])
    return b"".join(parts)


def _unsnapped_block(block: bytes, data: bytes, room: int, limit: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise BatchTooLarge(data, limit)
    return bytes(cramjam.snappy.decompress_raw(block))


def _into(decompress_into: Callable[[bytes, Any], int]) -> Callable[[bytes, int], bytes]:
    """Return a decompressor out of one that writes into memory: what it is given is as large as the limit at most."""

    def decompress(data: bytes, limit: int) -> bytes:
        if not data:
            raise ValueError("no bytes")
        scratch = _scratch()[:limit]
        try:
            return bytes(scratch[: decompress_into(data, scratch)])
        except cramjam.DecompressionError as problem:
            if _TOO_SMALL not in str(problem):
                raise
        if limit <= len(scratch):
            raise BatchTooLarge(data, limit)
        room = np.empty(limit, np.uint8)  # only what is written to takes memory
        try:
            return bytes(room[: decompress_into(data, room)])
        except cramjam.DecompressionError as problem:
            if _TOO_SMALL in str(problem):
                raise BatchTooLarge(data, limit) from problem
            raise

    return decompress


def _scratch() -> Any:
    scratch = getattr(_local, "scratch", None)
    if scratch is None:
        scratch = _local.scratch = np.empty(_SCRATCH_BYTES, np.uint8)
    return scratch


DECODE_BY_NAME = {
    "gzip_decode": _whole(_gunzipped),
    "snappy_decode": _whole(_unsnapped),
    "lz4_decode": _whole(_into(cramjam.lz4.decompress_into)),
    "zstd_decode": _whole(_into(cramjam.zstd.decompress_into)),
}
"""By the names that aiokafka's parsers know them under."""
