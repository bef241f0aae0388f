"""Starts senders, each in a folder of its own, and stops what it started; skips where this machine has none."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.senders import install

PATIENCE_S = 60.0
_STOP_S = 15.0
_POLL_S = 0.05
_TAIL_CHARS = 3_000


def debian(path: str) -> Path:
    """Return a file of the distribution's senders, such as ``usr/bin/kcat``; skips the test where there is none."""
    file = install.debian_root() / path
    return file if file.exists() else _absent(f"{file} is not there")


def collector() -> Path:
    """Return the OpenTelemetry Collector; skips the test where there is none."""
    file = install.collector()
    return file if file.exists() else _absent(f"{file} is not there")


def libraries() -> dict[str, str]:
    """Return the environment in which a program finds the libraries unpacked beside it."""
    root = install.debian_root()
    folders = [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"), root / "usr" / "lib" / "syslog-ng"]
    return {**os.environ, "TZ": "UTC", "LD_LIBRARY_PATH": ":".join(map(str, folders))}


@contextlib.contextmanager
def started(command: list[str | Path], folder: Path, *, is_up: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Give a program that runs, once ``is_up`` says so; terminated at the end, and its log shown if it never came up."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=folder, env=libraries(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        end_s = time.monotonic() + PATIENCE_S
        while not is_up():
            said = log.read_text(errors="replace")[-_TAIL_CHARS:]
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}; it said:\n{said}"
            assert time.monotonic() < end_s, f"{command[0]} is not up after {PATIENCE_S:.0f} s; it said:\n{said}"
            time.sleep(_POLL_S)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _absent(what: str) -> Path:
    said = f"{what}: python -m tests.senders.install brings it"
    if os.environ.get("TOCSIN_CI"):
        pytest.fail(said)
    pytest.skip(said)
