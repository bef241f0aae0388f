"""A sample of traces: which spans travel, so that a caller's span meets that of the callee, whatever message each came in.

A trace is in a sample of share ``s`` when the hash of its id is below ``s``, so samples of the same traces can be merged: what
is below the smaller share is whole in both. A sample that is full halves its share, which keeps it a sample.
"""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from pipeline.contracts.keys import service_key

ENVIRONMENT, SERVICE = "", "traces"
"""The partial of a sample stands under these; no service is of an environment without a name."""
KEY = service_key(ENVIRONMENT, SERVICE)
MAX_STUBS = 2_000
"""Of the sample of five minutes, from all sources."""
MAX_NAME_BYTES = 256
"""Of a service's key, as JSON: spans of longer ones are in no sample, so that its size has a bound."""

_N_HASH_DIGITS = 16
_N_HASHES = 2.0**64


class SpanStub(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is kept of a span.

    Attributes
    ----------
    service
        Key of its service, ``environment/name``.
    parent
        Of a server's or consumer's span: id of the span that called it. Empty: it is a client's or producer's.
    failed
        Of a client's or producer's span: whether it failed, as the caller sees it.

    """

    service: str
    parent: str = ""
    failed: bool = False


class TraceSample(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Spans of the traces whose hash is below ``share`` (above 0, at most 1), by :func:`stub_key`."""

    share: float = 1.0
    stubs: dict[str, SpanStub] = {}

    def add(self, key: str, stub: SpanStub, most: int) -> None:
        """Take a span in, if its trace is below the share; past ``most`` spans the share is halved."""
        if is_below(key, self.share):
            self.stubs[key] = stub
            self.shrink(most)

    def shrink(self, most: int) -> None:
        """Halve the share until at most ``most`` spans are left."""
        while len(self.stubs) > most:
            self.share /= 2
            self.stubs = {key: stub for key, stub in self.stubs.items() if is_below(key, self.share)}


def hash_below(trace_id: bytes, share: float) -> str:
    """Return the hash of a trace id, hex digits, if it is in a sample of this share; empty: it is not.

    It is the same for everybody who sees a span of the trace.

    Examples
    --------
    >>> hash_below(b"0123456789abcdef", 1.0), hash_below(b"0123456789abcdef", 0.5)
    ('923ee422e53ad8e7', '')

    """
    digest = blake2b(trace_id, digest_size=_N_HASH_DIGITS // 2).digest()
    return digest.hex() if int.from_bytes(digest) < share * _N_HASHES else ""


def is_below(key: str, share: float) -> bool:
    """Return whether a trace (its hash, or a key that begins with it) is in a sample of this share."""
    return int(key[:_N_HASH_DIGITS], 16) < share * _N_HASHES


def stub_key(hashed: str, span_id: str) -> str:
    """Return the key of a span: its trace's hash and its own id."""
    return hashed + span_id


def parent_key(key: str, stub: SpanStub) -> str:
    """Return the key of the span that called this one."""
    return key[:_N_HASH_DIGITS] + stub.parent


def merged_samples(samples: Iterable[TraceSample], most: int = MAX_STUBS) -> TraceSample:
    """Return what is known of the traces that are in all the samples; the same in whatever order and grouping.

    Examples
    --------
    >>> one, two = TraceSample(stubs={"0" * 16 + "a": SpanStub(service="x/y")}), TraceSample(share=0.5)
    >>> merged_samples([one, two]).share, len(merged_samples([one, two]).stubs)
    (0.5, 1)

    """
    parts = list(samples)
    share = min((part.share for part in parts), default=1.0)
    merged = TraceSample(
        share=share, stubs={key: stub for part in parts for key, stub in part.stubs.items() if is_below(key, share)}
    )
    merged.shrink(most)
    return merged
