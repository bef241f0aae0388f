"""Tocsin's own workers in `make bench-ingest`: processes on a configuration of their own, watched from outside."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers.ports import free_ports

POLL_S = 0.1
READY_LIMIT_S = 90.0
STANDSTILL_S = 60.0


class WorkerFailedError(Exception):
    """A worker ended, or stood still."""


@dataclass
class Workers:
    """Worker processes, one or more a role, that read one filled topic and write topics of their own."""

    folder: Path
    bootstrap: str
    telemetry: str
    partitions: int
    names: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex[:8]}-")

    def prepare(self) -> None:
        """Write the configuration (as shipped, but for names, profile ``local`` and ports) and create the topics."""
        self.names = write_config(
            self.folder,
            prefix=self.prefix,
            bootstrap=self.bootstrap,
            partitions=self.partitions,
            changed={"worker": {"profile": "local", "checkpoint_ms": 1000}},
        )
        own = self.names["telemetry.metrics"]
        self.names["telemetry.metrics"] = self.telemetry
        topics = _yaml(self.folder / "topics.yaml")
        for spec in topics["topics"]:
            spec["name"] = self.telemetry if spec["name"] == own else spec["name"]
            if spec["logical"] in ("partials", "signals", "anomalies"):
                spec["timestamp_type"] = "append"  # when the broker had it, by one clock
        (self.folder / "topics.yaml").write_text(yaml.safe_dump(topics))
        main = _yaml(self.folder / "tocsin.yaml")
        decoders = main["ingest"]["decoders"]
        main["ingest"]["decoders"] = {self.telemetry if name == own else name: kind for name, kind in decoders.items()}
        (self.folder / "tocsin.yaml").write_text(yaml.safe_dump(main))
        subprocess.run(self._command("topics", "create"), cwd=REPOSITORY, check=True, capture_output=True)

    def start(self, *roles: str) -> None:
        """Start a worker of each role named; a second one of a role is called ``role-2`` here."""
        for role, port in zip(roles, free_ports(len(roles)), strict=True):
            n = 1 + sum(name.partition("-")[0] == role for name in self.running)
            name = role if n == 1 else f"{role}-{n}"
            log = (self.folder / f"{name}.log").open("wb")
            command = self._command("worker", "--role", role, "--set", f"worker.web_port={port}")
            self.running[name] = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
            self.ports[name] = port

    def stop(self) -> None:
        """End all workers."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.running.clear()

    async def forget(self) -> None:
        """Delete the topics that they wrote: compacting hundreds of them would cost whoever runs next."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            own = [name for name in await admin.list_topics() if name.startswith(self.prefix)]
            await admin.delete_topics(own)
        finally:
            await admin.close()

    def memory_bytes(self) -> dict[str, int]:
        """Return the resident memory of each, by role."""
        page = os.sysconf("SC_PAGE_SIZE")
        statm = {role: Path(f"/proc/{process.pid}/statm").read_text() for role, process in self.running.items()}
        return {role: int(text.split()[1]) * page for role, text in statm.items()}

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds that each has used since it was started, by role."""
        return {role: cpu_s(process.pid) for role, process in self.running.items()}

    async def ready(self) -> None:
        """Wait until all are ready: they own partitions, and have recovered their state."""
        until = time.monotonic() + READY_LIMIT_S
        for name in self.running:
            while not await asyncio.to_thread(self._is_ready, name):
                self.check()
                if time.monotonic() > until:
                    raise WorkerFailedError(f"the {name} worker was not ready within {READY_LIMIT_S:.0f} s: see {self.folder}")
                await asyncio.sleep(POLL_S)

    def _is_ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False

    def n_read(self) -> int | None:
        """Return how many records of the filled topic are folded in; ``None`` while the worker does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['ingest']}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, TimeoutError):
            return None
        label = f'tocsin_records_total{{topic="{self.telemetry}"}} '
        return sum(int(float(line.removeprefix(label))) for line in text.splitlines() if line.startswith(label))

    def check(self) -> None:
        """Refuse to go on without one of them."""
        for role, process in self.running.items():
            if process.poll() is not None:
                raise WorkerFailedError(f"the {role} worker ended with {process.returncode}: see {self.folder}/{role}.log")

    async def began(self) -> float:
        """Wait for the first record; return the last moment at which none was folded in."""
        until = time.monotonic() + READY_LIMIT_S
        before = time.monotonic()
        while time.monotonic() < until:
            now = time.monotonic()
            self.check()
            n_read = await asyncio.to_thread(self.n_read)
            if n_read:
                return before
            if n_read == 0:
                before = now
            await asyncio.sleep(POLL_S / 5)
        raise WorkerFailedError(f"no record was read within {READY_LIMIT_S:.0f} s: see {self.folder}")

    async def read_all(self, messages: int) -> float:
        """Wait until ``messages`` are folded in; return when."""
        seen, moved = -1, time.monotonic()
        while True:
            self.check()
            n_read = await asyncio.to_thread(self.n_read) or 0
            now = time.monotonic()
            if n_read >= messages:
                return now
            if n_read != seen:
                seen, moved = n_read, now
            if now - moved > STANDSTILL_S:
                raise WorkerFailedError(f"stood still at {n_read:,} of {messages:,}: see {self.folder}")
            await asyncio.sleep(POLL_S)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", *arguments, "--config", str(self.folder)]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _yaml(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded
