"""A worker as a child of `up`: started with its log in a file, stopped in order, and never left behind."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pipeline.adapters.brokers import launcher
from pipeline.errors import BrokerError

STOP_S = 15.0
"""SIGTERM finishes chunks and leaves the groups; past this it is killed."""
TAIL_LINES = 12


class WorkerProcess:
    """One `tocsin worker`. It has a session of its own, so that Ctrl-C reaches us first; it dies with us however we end."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._process = process
        self.log_file = log_file

    @classmethod
    async def start(cls, arguments: Sequence[str], log_file: Path) -> Self:
        """Start ``tocsin worker ARGUMENTS`` with its log in a file."""
        command = [sys.executable, "-m", "pipeline.cli", "worker", *arguments]
        with log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(process, log_file)

    async def ended(self) -> None:
        """Wait until it ends by itself, which is never right.

        Raises
        ------
        BrokerError
            Always, when it has ended; with the end of its log.

        """
        code = await self._process.wait()
        raise BrokerError(f"a worker ended by itself with exit code {code}; its log, {self.log_file}, ends:\n{self.log_tail()}")

    async def stop(self) -> None:
        """Ask it to end, and wait; make it after 15 s."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return "\n".join(lines[-TAIL_LINES:])
