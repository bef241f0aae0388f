"""Runs what a command awaits; Ctrl-C ends it quietly, with the exit code that shells expect."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import typer

T = TypeVar("T")
INTERRUPTED = 130


def run(work: Coroutine[object, object, T]) -> T:
    """Return what ``work`` returns.

    Raises
    ------
    typer.Exit
        With code 130, on Ctrl-C.

    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
