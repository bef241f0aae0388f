"""`tocsin up` as a person ends it: no process is left behind."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def descendants(pid: int) -> set[int]:
    """Return the processes that ``pid`` has started, and those that they have started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended in the meantime
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        found.update(own)
        waiting.extend(own)
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `tocsin up` with little history that shows live windows: everything is started, and at work."""
    with (tmp_path / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline.cli", "up", "--history", "0.05", "--no-live-view",
            stdout=asyncio.subprocess.PIPE, stderr=log, cwd=ROOT,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        seen = b""
        async with asyncio.timeout(PATIENCE_S):
            while b"req/s" not in seen:
                line = await process.stdout.readline()
                assert line, seen.decode() + (tmp_path / "up.log").read_text()
                seen += line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.embedded
async def test_ctrl_c_ends_up_and_leaves_no_process_behind(up: asyncio.subprocess.Process) -> None:
    started = descendants(up.pid)
    assert len(started) >= 5  # a broker, and a worker for each role

    up.send_signal(signal.SIGINT)
    await asyncio.wait_for(up.communicate(), PATIENCE_S)

    assert up.returncode == 0
    assert {pid for pid in started if is_running(pid)} == set()


@pytest.mark.embedded
async def test_what_up_has_started_dies_with_it_even_by_kill_9(up: asyncio.subprocess.Process) -> None:
    started = descendants(up.pid)

    up.kill()
    await up.wait()

    async with asyncio.timeout(PATIENCE_S):
        while any(is_running(pid) for pid in started):  # noqa: ASYNC110 - the kernel tells each of them, and nobody us
            await asyncio.sleep(0.05)
