"""Where the command line writes: results on stdout, readable or as JSON; everything else on stderr."""

import os
import shutil
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console, RenderableType

WIDTH = 140
"""Columns of what is written to a file or a pipe."""


def say(text: str) -> None:
    """Write a line of text on stdout, as it is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(data: object) -> None:
    """Write one line of JSON on stdout."""
    say(msgspec.json.encode(data).decode())


def say_columns(rows: Sequence[Sequence[str]]) -> None:
    """Write rows of text on stdout, a line each, their columns below one another; a terminal's edge cuts the last ones."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()[:room])


def show(renderable: RenderableType) -> None:
    """Show a table or the like on stdout, as wide as the terminal; where there is none, wide enough for most."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    console.print(renderable)


def tell(text: str) -> None:
    """Write a remark for people on stderr: progress, what was done, what is wrong."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
