"""Where the jars of Apache Kafka are: fetched once through Maven into a cache folder, whoever asks first."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline.errors import BrokerError

VERSION = "4.3.1"
POM = Path(__file__).with_name("pom.xml")
CACHE_VARIABLE = "TOCSIN_CACHE"
_TRIES = 2
_LIMIT_S = 300.0
_TAIL_CHARS = 2_000


def cache_folder() -> Path:
    """Return the folder for things fetched once: ``$TOCSIN_CACHE``, or ``~/.cache/tocsin``."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "tocsin"


def jar_folder(cache: Path | None = None) -> Path:
    """Return the folder with the broker's jars, complete; fetches them when they are not there yet.

    The folder's name holds a digest of the pom, so another pom is another folder. Safe when several processes ask at
    the same time: one fetches, the others wait; a folder appears only when it is complete.

    Raises
    ------
    BrokerError
        If Maven is missing or cannot fetch them.

    """
    cache = cache_folder() if cache is None else cache
    folder = cache / f"kafka-{VERSION}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(folder)
    return folder


def java() -> str:
    """Return the path of ``java``.

    Raises
    ------
    BrokerError
        If there is none.

    """
    return _program("java", "openjdk-17-jre-headless")


def _fetch(folder: Path) -> None:
    maven = _program("mvn", "maven")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-", ignore_cleanup_errors=True) as partial:
        jars = Path(partial) / "jars"
        shutil.copy(POM, partial)  # Maven may write beside its pom
        command = [
            maven,
            "-B",
            "-ntp",
            "-q",
            "-f",
            f"{partial}/pom.xml",
            "dependency:copy-dependencies",
            f"-DoutputDirectory={jars}",
            "-DincludeScope=runtime",
        ]
        said = ""
        for _ in range(_TRIES):
            try:
                run = subprocess.run(  # noqa: S603 - our own command
                    command, capture_output=True, text=True, timeout=_LIMIT_S, check=False, stdin=subprocess.DEVNULL
                )
            except subprocess.TimeoutExpired:
                said = f"no answer within {_LIMIT_S:.0f} s"
                continue
            if run.returncode == 0 and (jars / f"kafka_2.13-{VERSION}.jar").exists():
                jars.rename(folder)
                return
            said = (run.stdout + run.stderr)[-_TAIL_CHARS:]
    raise BrokerError(f"Maven could not fetch Apache Kafka {VERSION} into {folder}; it said:\n{said}")


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BrokerError(
            f"Apache Kafka needs `{name}` on PATH (Debian: apt-get install {package}); "
            "the embedded broker needs neither Java nor Maven"
        )
    return path
