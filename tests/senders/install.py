"""Brings the programs that the sender tests start into a cache folder, without installing anything on the machine.

`python -m tests.senders.install` unpacks collectd, rsyslog, syslog-ng and kcat from the distribution's own packages, and
builds the OpenTelemetry Collector from the Go module proxy (minutes, once). Nothing needs root but apt's first look at its
lists. What cannot be had is said, a line each, and the tests of it skip; with TOCSIN_CI=1 it is an error.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.adapters.brokers.kafka_jars import cache_folder

COLLECTOR = Path(__file__).with_name("collector.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.155.0"
PACKAGES = (
    ("collectd-core", "librdkafka1", "libyajl2", "rsyslog", "rsyslog-kafka", "kcat"),
    ("syslog-ng-core", "syslog-ng-mod-rdkafka"),
)
"""Debian's, by sets that could be installed together: syslog-ng's package conflicts with rsyslog's."""
_TAIL_CHARS = 2_000
_DEBIAN_LIMIT_S = 300.0
_BUILD_LIMIT_S = 1_500.0


class NotToBeHad(Exception):
    """A sender that this machine cannot have; says why, and what would help."""


def debian_root() -> Path:
    """Return where the distribution's senders are unpacked, as if it were ``/``."""
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else sys.platform
    return cache_folder() / f"senders-{_digest(repr(PACKAGES) + release)}"


def collector() -> Path:
    """Return where the OpenTelemetry Collector is."""
    return cache_folder() / f"otelcol-{_digest(BUILDER + COLLECTOR.read_text())}" / "otelcol"


def install_debian() -> None:
    """Unpack the distribution's senders, and the libraries of theirs that the machine lacks, unless they are there.

    Raises
    ------
    NotToBeHad
        If apt does not have them.

    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotToBeHad(f"collectd, rsyslog, syslog-ng and kcat come from Debian's packages: there is no {program}")
    _once(debian_root(), _unpack_debian)


def install_collector() -> None:
    """Build the OpenTelemetry Collector, unless it is there.

    Raises
    ------
    NotToBeHad
        If there is no Go, or the build fails.

    """
    if shutil.which("go") is None:
        raise NotToBeHad("the OpenTelemetry Collector is built by Go 1.25 or newer: there is no `go` on PATH")
    _once(collector().parent, _build_collector)


def _unpack_debian(folder: Path) -> None:
    wanted: dict[str, None] = {}
    for packages in PACKAGES:
        wanted |= dict.fromkeys(packages)
        wanted |= dict.fromkeys(_missing(packages))
    with tempfile.TemporaryDirectory() as archives:
        _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *wanted], Path(archives), _DEBIAN_LIMIT_S)
        for archive in sorted(Path(archives).glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(folder)], folder, _DEBIAN_LIMIT_S)


def _missing(packages: tuple[str, ...]) -> list[str]:
    """Return what apt would install for these: what they need and the machine lacks. Nothing is installed."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", *packages]
    try:
        said = _run(command, Path("/"), _DEBIAN_LIMIT_S)
    except NotToBeHad:
        if os.geteuid():
            raise
        _run(["apt-get", "update", "-qq"], Path("/"), _DEBIAN_LIMIT_S)
        said = _run(command, Path("/"), _DEBIAN_LIMIT_S)
    return re.findall(r"^Inst (\S+)", said, re.MULTILINE)


def _build_collector(folder: Path) -> None:
    tools, source = folder / "tools", folder / "source"  # the latter is named in collector.yaml, too
    own = {**os.environ, "GOBIN": str(tools), "CGO_ENABLED": "0"}
    _run(["nice", "go", "install", BUILDER], folder, _BUILD_LIMIT_S, own)
    _run(["nice", str(tools / "builder"), "--config", str(COLLECTOR)], folder, _BUILD_LIMIT_S, own)
    (source / "otelcol").rename(folder / "otelcol")
    shutil.rmtree(tools)
    shutil.rmtree(source)


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder that appears only when it is complete; of several processes one makes it, the others wait."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-", ignore_cleanup_errors=True) as partial:
            made = Path(partial) / "made"
            made.mkdir()
            make(made)
            made.rename(folder)


def _run(command: list[str], folder: Path, limit_s: float, environment: dict[str, str] | None = None) -> str:
    try:
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"`{' '.join(command)}` gave no answer within {limit_s:.0f} s") from None
    if run.returncode:
        raise NotToBeHad(f"`{' '.join(command)}` failed; it said:\n{(run.stdout + run.stderr)[-_TAIL_CHARS:]}")
    return run.stdout


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def main() -> int:
    """Install what can be had; return 1 if something cannot, and must."""
    problems = []
    for what, install in (("collectd, rsyslog, syslog-ng, kcat", install_debian), ("OpenTelemetry Collector", install_collector)):
        try:
            install()
        except NotToBeHad as problem:
            problems.append(f"{what}: {problem}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"senders: {'some are missing, their tests skip' if problems else 'all there'}")
    return 1 if problems and os.environ.get("TOCSIN_CI") else 0


if __name__ == "__main__":
    sys.exit(main())
