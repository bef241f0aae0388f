"""Text and numbers in a page: decides how what came from outside is made harmless, and how short coordinates are."""

import html
import math
from collections.abc import Iterable

from pipeline.cli.wording import safe

MAX_NAME = 60
"""Names are cut to this length in plots and lists, characters."""


def text(value: str, limit: int = 300) -> str:
    """Return text that came from outside as HTML that only shows it: in an element, or in a quoted attribute.

    Examples
    --------
    >>> text('<b>"&')
    '&lt;b&gt;&quot;&amp;'

    """
    return html.escape(safe(value, limit), quote=True)


def name(value: str) -> str:
    """Return a name as HTML, cut."""
    return text(value, MAX_NAME)


def number(value: float) -> str:
    """Return a coordinate with one decimal at most.

    Examples
    --------
    >>> number(12.04), number(3.25), number(-0.01)
    ('12', '3.2', '0')

    """
    if not math.isfinite(value):
        raise ValueError(f"a coordinate must be finite, got {value}")
    shown = f"{value:.1f}"
    shown = shown.removesuffix(".0")
    return "0" if shown == "-0" else shown


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; ``content`` is HTML already, attributes are plain text.

    A name's underscores become hyphens, ``class_`` is ``class``, and what is ``None`` is left out.

    Examples
    --------
    >>> element("rect", x=1.5, class_="label", data_of='"')
    '<rect x="1.5" class="label" data-of="&quot;"/>'

    """
    parts = [tag]
    for key, value in attributes.items():
        if value is not None:
            shown = number(value) if isinstance(value, float) else html.escape(str(value), quote=True)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    opened = " ".join(parts)
    return f"<{opened}>{content}</{tag}>" if content or tag not in _EMPTY else f"<{opened}/>"


def table(headings: Iterable[tuple[str, str]], rows: Iterable[tuple[dict[str, object], Iterable[str]]]) -> str:
    """Return a table: (heading, class of its cells), and rows of (attributes, cells as HTML)."""
    known = list(headings)
    head = "".join(element("th", html.escape(title), class_=kind or None, scope="col") for title, kind in known)
    body = "".join(
        element(
            "tr",
            "".join(element("td", cell, class_=kind or None) for cell, (_, kind) in zip(cells, known, strict=True)),
            **attributes,
        )
        for attributes, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_EMPTY = frozenset({"rect", "path", "line", "circle", "use", "input", "meta"})
