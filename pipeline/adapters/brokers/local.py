"""A broker on this machine as a child process: started, asked, frozen, killed, started again on its folder."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pipeline.adapters.brokers import launcher, readiness
from pipeline.adapters.brokers.ports import free_ports, is_free
from pipeline.adapters.clock import monotonic_ms
from pipeline.errors import BrokerError

HOST = "127.0.0.1"
_POLL_S = 0.05
_TAIL_LINES = 20

# The kernel ends a broker with the *thread* that started it, so all are started by one that lives as long as we do.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker-spawner")


class LocalBroker(ABC):
    """What both brokers have in common. A context manager: starts on entry, stops and tidies up on exit.

    The child has a session of its own, so that Ctrl-C reaches the workers first, and it dies with this process,
    however that ends.

    Attributes
    ----------
    folder
        Holds the broker's log, and its data if it keeps any. Given, it is kept; else a temporary one, removed on exit.
    port
        Of the plaintext listener, on 127.0.0.1.
    is_persistent
        Whether what it stored is there after ``restart``.
    name
        What to call it in messages.

    """

    is_persistent: bool
    name: str
    start_limit_s: float = 60.0
    stop_limit_s: float = 15.0

    def __init__(self, *, folder: Path | None = None, port: int | None = None) -> None:
        self._is_temporary = folder is None
        self.folder = _temporary_folder(self.name) if folder is None else folder.absolute()
        self.port = free_ports(1)[0] if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Return the command that starts the broker, once all it needs is in place."""

    @property
    def bootstrap(self) -> str:
        """Address for clients, ``host:port``, plaintext."""
        return f"{HOST}:{self.port}"

    @property
    def announcement(self) -> str:
        """What a person should know when it starts, one sentence."""
        keeps = f"keeps its data in {self.folder}" if self.is_persistent else "in memory: it forgets everything when it stops"
        return f"{self.name} at {self.bootstrap}, {keeps}"

    @property
    def pid(self) -> int:
        """Process id of the running broker.

        Raises
        ------
        BrokerError
            If it does not run.

        """
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        """What the broker itself said."""
        return self.folder / "broker.log"

    def start(self) -> Self:
        """Start it and wait until it answers a Metadata request. Nothing happens when it runs already.

        Raises
        ------
        BrokerError
            If it cannot be started, or does not answer within ``start_limit_s``; with the end of its log.

        """
        if self.is_running:
            return self
        if not is_free(self.port):  # asked here, because Tansu would share the port with another Tansu without a word
            raise BrokerError(f"{self.name} cannot have port {self.port}: another program listens there")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = self._prepare()
        try:
            with self.log_file.open("ab") as log:
                self._process = _spawner.submit(_spawn, command, log, self.folder).result()
            self._wait_until_ready()
        except BaseException:  # Ctrl-C too must leave nothing behind
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ask it to end, wait up to ``stop_limit_s``, then make it. Its folder stays."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.stop_limit_s)
        self.kill()

    def kill(self) -> None:
        """End it at once, as ``kill -9`` does."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop its process as SIGSTOP does, and wait until all its threads stand: connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # a busy machine takes its time

    def thaw(self) -> None:
        """Let a frozen broker go on; nothing happens to one that is not frozen."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> Self:
        """Stop it if it runs, and start it again: same port, same folder."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop it, and remove its folder if that is a temporary one."""
        self.stop()
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self) -> str:
        """Return the last 20 lines of the broker's own log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise BrokerError(f"{self.name} at {self.bootstrap} does not run: start() it first")
        return self._process

    def _wait_until_ready(self) -> None:
        until = monotonic_ms() + self.start_limit_s * 1_000
        while readiness.n_brokers(HOST, self.port, timeout_s=1.0) == 0:
            if not self.is_running:
                raise BrokerError(self._trouble("ended while it started"))
            if monotonic_ms() > until:
                raise BrokerError(self._trouble(f"did not answer within {self.start_limit_s:.0f} s"))
            time.sleep(_POLL_S)

    def _trouble(self, what: str) -> str:
        tail = self.log_tail() or "(its log is empty)"
        return f"{self.name} at {self.bootstrap} {what}. Its log, {self.log_file}, ends:\n{tail}"


def _temporary_folder(name: str) -> Path:
    """Return a folder that does not exist yet, so that a broker that is never started leaves none."""
    return Path(tempfile.gettempdir()) / f"tocsin-{name.lower().replace(' ', '-')}-{uuid.uuid4().hex[:12]}"


def _spawn(command: list[str], log: IO[bytes], folder: Path) -> subprocess.Popen[bytes]:
    isolated = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command]
    return subprocess.Popen(  # noqa: S603 - the command is a broker's, made by this package
        isolated, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
    )
