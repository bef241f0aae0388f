"""Ids derived from content, so that a duplicate is recognisable everywhere downstream."""

from hashlib import blake2b


def content_id(*parts: str | int) -> str:
    """Return 32 hex digits that are the same for the same parts, and only for them.

    Examples
    --------
    >>> content_id("prod", "cart", 10) == content_id("prod", "cart", 10)
    True
    >>> content_id("a", "bc") == content_id("ab", "c")
    False

    """
    digest = blake2b(digest_size=16)
    for part in parts:
        text = str(part).encode()
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    return digest.hexdigest()
