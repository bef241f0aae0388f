"""What a log line says without what changes from one line to the next: numbers, ids, addresses, quoted text.

It depends on the line alone, so that whoever reads a chunk again counts the same lines as the same.
"""

import re

from pipeline.ingest.validation import FORBIDDEN

WILDCARD = "<*>"
"""Stands for whatever was there."""
LOOKED_AT = 4
"""Of a line so many times the longest masked one's characters are looked at: masking mostly shortens."""

_DOUBLE_QUOTED = re.compile(r'(?<!\\)"(?:[^"\\]|\\.)*+"')
_SINGLE_QUOTED = re.compile(r"(?<!\w)'[^']*+'(?!\w)")
_BRACKETED_LIST = re.compile(r"\[[^\[\],]*+,[^\[\]]*+\]")
_BRACED = re.compile(r"\{[^{}]*+\}")
_URL = re.compile(r"\b[A-Za-z][\w+.-]{1,30}://[^\s\"'<>()\[\]{},;]+")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*")
_PATH = re.compile(r"(?<![\w.])(?:\.{0,2}/[\w.@%+~:=-]++)+/?")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:|::)(?:[0-9a-fA-F]{0,4}:){1,6}[0-9a-fA-F]{0,4}(?![\w:])")
_NUMBER = re.compile(
    r"\b(?=[a-fA-F]{0,31}[0-9])[0-9a-fA-F]{6,}(?:-[0-9a-fA-F]{4,})*\b"  # hexadecimal ids with a digit early on, UUIDs
    r"|(?<!\w)[+-]?[0-9](?:\w|[.,:/+-](?=[0-9]))*%?"  # numbers with their units, addresses, times, versions, 1/3, 1,000
    r"|[0-9]{2,}\w*"  # user123; a single digit within a word is part of its name (http2, s3)
    r"|(?<=[-_#])-?[0-9]\w*"  # node-7, blk_-16
)
_LIST = re.compile(r"<\*>(?:\s*[,;|]\s*<\*>)+")
_VALUE = r"(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&]+)"
_SECRET = re.compile(
    r"(?i)((?:password|passwd|passphrase|pass(?![a-z])|pwd|secret|token|api[_-]?key|credential)[\w-]*[\"']?\s*[:=]\s*)"
    rf"(?:bearer\s+|basic\s+)?{_VALUE}"
    rf"|(authorization[\"']?\s*[:=]\s*){_VALUE}(?:\s+{_VALUE})?"
    rf"|(\bbearer\s+){_VALUE}"
    r"|(://)[^/\s@]+(?=@)"
)
_SECRET_SIGNS = ("pass", "pwd", "secret", "token", "key", "credential", "auth", "bearer", "://")
"""Without one of them nothing is looked for: most lines hold none."""


def clean_line(text: str, max_length: int) -> str:
    r"""Return the first line of a text that is not blank, as far as it is looked at, without control characters.

    Examples
    --------
    >>> clean_line("\n it broke\x07\nTraceback", 100)
    'it broke'

    """
    line = text.lstrip()[: max_length * LOOKED_AT].partition("\n")[0]
    if not (line.isascii() and line.isprintable()):
        line = FORBIDDEN.sub(" ", line)
    return line.strip()


def masked(line: str, max_length: int) -> str:
    """Return a clean line with a wildcard for everything that is a number, an id, an address, a path, a list, an object or quoted.

    Parameters
    ----------
    line
        As :func:`clean_line` returns it.
    max_length
        Characters that are kept, at least 1.

    Examples
    --------
    >>> masked('user 17 from 10.0.0.9:443 failed 3/5 after 1.2s: "no route"', 200)
    'user <*> from <*> failed <*> after <*>: <*>'
    >>> masked("cart-7 took [shoe, hat], 0x1f2e3d4c and 1, 2, 3 from /srv/a/b.txt over http2", 200)
    'cart-<*> took [<*>], <*> and <*> from <*> over http2'

    """
    if '"' in line:
        line = _DOUBLE_QUOTED.sub(WILDCARD, line)
    if "'" in line:
        line = _SINGLE_QUOTED.sub(WILDCARD, line)
    line = _without_secrets(line, WILDCARD)
    if "[" in line and "," in line:
        line = _BRACKETED_LIST.sub("[<*>]", line)
    if "{" in line:
        line = _BRACED.sub("{<*>}", line)
    if "://" in line:
        line = _URL.sub(WILDCARD, line)
    if "@" in line:
        line = _EMAIL.sub(WILDCARD, line)
    if "/" in line:
        line = _PATH.sub(WILDCARD, line)
    if line.count(":") > 1:
        line = _IPV6.sub(WILDCARD, line)
    mask = _NUMBER.sub  # no number has a space in it, and most words are letters, with a sign behind them perhaps
    line = " ".join(
        [
            word if word.isalpha() or (word[:-1].isalpha() and not word[-1].isalnum()) else mask(WILDCARD, word)
            for word in line.split()
        ]
    )
    if ">," in line or "> ," in line or ">;" in line:
        line = _LIST.sub(WILDCARD, line)
    return line[:max_length].rstrip()


def example_of(line: str, max_length: int) -> str:
    """Return a clean line as it is shown: cut, and without what is named a password or token.

    Examples
    --------
    >>> example_of("login of jo failed, password=hunter2", 200)
    'login of jo failed, password=(hidden)'

    """
    return _without_secrets(line, "(hidden)")[:max_length].rstrip()


def _without_secrets(line: str, instead: str) -> str:
    low = line.lower()
    if not any(sign in low for sign in _SECRET_SIGNS):
        return line
    return _SECRET.sub(lambda found: "".join(part for part in found.groups() if part) + instead, line)
