"""What a worker's log looks like: JSON lines on stderr (readable ones on a terminal), no secrets, no floods."""

import logging
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

PERIOD_MS = 10_000
"""A message that repeats is written again after so long, with the count of what was held back."""
OWN_BURST = 20
"""Of one message of ours in a period: they tell different partitions and services apart by their fields."""
FOREIGN_BURST = 1
"""Of one message of a library: Faust writes 100 lines a second while a broker is away."""
MAX_MESSAGES = 1_000
"""How many different messages are remembered; past it, the one not seen for longest goes."""
HIDDEN = "(not shown)"
FIRST = ("timestamp", "level", "event", "role", "service_key", "topic", "partition", "offset", "suppressed")
"""The order in which a line begins; other fields follow."""
LEVELS: Mapping[str, int] = dict.fromkeys(
    (
        "aiokafka",
        "asyncio",
        "faust",
        "mode",
        "pipeline.adapters.faust_apps",  # Faust's services, subclassed, log under our names
        "pipeline.adapters.tables",
        "pipeline.adapters.transport",
    ),
    logging.WARNING,
)
"""Libraries whose everyday lines help nobody."""

_SECRET_KEY = re.compile(r"passw|secret|token|credential|authorization|api_?key|private_?key", re.IGNORECASE)
_SECRET_KEY_IS_FILE = re.compile(r"_file$|_path$", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"""((?:passw(?:or)?d|secret|token|api_?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;)\]}]+)""", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@")


def configure_logs(
    *,
    clock_ms: Callable[[], int],
    stream: TextIO | None = None,
    level: int = logging.INFO,
    is_human: bool | None = None,
) -> None:
    """Send all logs of this process, structlog's and the libraries', to one place in one form.

    Replaces the handlers of the root logger; may be called again.

    Parameters
    ----------
    clock_ms
        A clock that never goes back, ms: tells when a message may be repeated.
    stream
        Where lines go; ``None``: stderr.
    level
        Least level that is written.
    is_human
        Readable lines instead of JSON; ``None``: on a terminal.

    """
    out = sys.stderr if stream is None else stream
    for_people = out.isatty() if is_human is None else is_human
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [
        _with_suppressed,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    ending: list[Processor] = (
        [redact, escape, structlog.dev.ConsoleRenderer(colors=out.isatty())]
        if for_people
        else [redact, in_order, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*rendered, *ending]))
    handler.addFilter(Throttle(clock_ms))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in LEVELS.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class Throttle(logging.Filter):
    """Holds back what repeats: of one message, a burst a period; then how many were held back.

    A message is one logger's one template, before its arguments are put in.

    Parameters
    ----------
    clock_ms
        A clock that never goes back, ms.

    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        super().__init__()
        self._clock_ms = clock_ms
        self._lock = threading.Lock()  # Faust's consumer logs from a thread of its own
        self._seen: OrderedDict[tuple[str, int, str], _Seen] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record; sets its ``suppressed``."""
        is_own = isinstance(record.msg, dict)
        template = str(record.msg.get("event", "")) if isinstance(record.msg, dict) else str(record.msg)
        now_ms = self._clock_ms()
        with self._lock:
            seen = self._seen.setdefault((record.name, record.levelno, template), _Seen(now_ms))
            self._seen.move_to_end((record.name, record.levelno, template))
            while len(self._seen) > MAX_MESSAGES:
                self._seen.popitem(last=False)
            return seen.admits(record, now_ms, OWN_BURST if is_own else FOREIGN_BURST)


class _Seen:
    """One message in its current period."""

    __slots__ = ("n_held_back", "n_written", "since_ms")

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.n_written = 0
        self.n_held_back = 0

    def admits(self, record: logging.LogRecord, now_ms: int, burst: int) -> bool:
        if now_ms - self.since_ms >= PERIOD_MS:
            self.since_ms, self.n_written = now_ms, 0
        if self.n_written >= burst:
            self.n_held_back += 1
            return False
        record.suppressed, self.n_held_back = self.n_held_back, 0
        self.n_written += 1
        return True


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what looks like a secret, by its key or within a text, however deep.

    Examples
    --------
    >>> redact(None, "info", {"event": "joined with password=x7", "sasl": {"password": "x7"}, "token_file": "/run/t"})
    {'event': 'joined with password=(not shown)', 'sasl': {'password': '(not shown)'}, 'token_file': '/run/t'}

    """
    return {key: _shown(key, value) for key, value in event.items()}


def in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let every line begin with the same fields."""
    return {**{key: event[key] for key in FIRST if key in event}, **event}


def escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make control characters visible, so that text from telemetry cannot play with a terminal."""
    return {key: value if key == "exception" else _escaped(value) for key, value in event.items()}


def _with_suppressed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    n_held_back = getattr(event["_record"], "suppressed", 0)
    if n_held_back:
        event["suppressed"] = n_held_back
    return event


def _shown(key: object, value: Any) -> Any:
    if isinstance(key, str) and _SECRET_KEY.search(key) and not _SECRET_KEY_IS_FILE.search(key):
        return HIDDEN
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1{HIDDEN}@", _SECRET_TEXT.sub(rf"\1{HIDDEN}", value))
    if isinstance(value, Mapping):
        return {inner: _shown(inner, each) for inner, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown("", each) for each in value]
    return value


def _escaped(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in value)
