"""A worker's log lines: their form, what is hidden, and what is held back."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from pipeline.adapters.logs import LEVELS, MAX_MESSAGES, OWN_BURST, Throttle, configure_logs, redact


@dataclass
class Log:
    """A configured log, on a clock that the test moves."""

    now: int = 0
    out: io.StringIO = field(default_factory=io.StringIO)

    def clock_ms(self) -> int:
        return self.now

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LEVELS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def log() -> Log:
    log = Log()
    configure_logs(clock_ms=log.clock_ms, stream=log.out)
    return log


def test_a_line_is_json_and_begins_with_what_happened_where(log: Log) -> None:
    structlog.get_logger("pipeline.app").warning("unreadable row", n=3, offset=17, partition=2, topic="t", service_key="prod/cart")

    (line,) = log.lines()
    assert list(line) == ["timestamp", "level", "event", "service_key", "topic", "partition", "offset", "n", "logger"]
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "event": "unreadable row",
        "service_key": "prod/cart",
        "topic": "t",
        "partition": 2,
        "offset": 17,
        "n": 3,
        "logger": "pipeline.app",
    }


def test_libraries_write_the_same_lines(log: Log) -> None:
    logging.getLogger("faust.transport").error("Heartbeat failed for %s: %r", "tocsin-ingest", 5)

    (line,) = log.lines()
    assert (line["event"], line["level"], line["logger"]) == ("Heartbeat failed for tocsin-ingest: 5", "error", "faust.transport")


def test_everyday_lines_of_libraries_are_left_out(log: Log) -> None:
    logging.getLogger("aiokafka.consumer").info("Subscribed")
    logging.getLogger("aiokafka.consumer").warning("Gone")
    structlog.get_logger("pipeline.app").debug("detail")

    assert [line["event"] for line in log.lines()] == ["Gone"]


def test_bound_context_is_on_every_line(log: Log) -> None:
    with structlog.contextvars.bound_contextvars(role="ingest"):
        structlog.get_logger("pipeline.app").info("worker is ready")

    assert log.lines()[0]["role"] == "ingest"


def crash(message: str) -> None:
    raise ValueError(message)


def log_a_crash(message: str) -> None:
    try:
        crash(message)
    except ValueError:
        logging.getLogger("faust").exception("crashed")


def test_an_exception_is_one_line(log: Log) -> None:
    log_a_crash("no such topic")

    (line,) = log.lines()
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no such topic")


def test_warnings_are_log_lines(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("soon gone", UserWarning, stacklevel=1)

    assert "soon gone" in log.lines()[0]["event"]


def test_what_cannot_be_json_is_still_a_line(log: Log) -> None:
    structlog.get_logger("pipeline.app").info("odd", value=b"\xff", record=Log)

    assert log.lines()[0]["value"] == repr(b"\xff")


def test_secrets_are_not_shown(log: Log) -> None:
    structlog.get_logger("pipeline.app").info(
        "connects to sasl://bot:hunter2@kafka:9092",
        sasl_password="hunter2",  # noqa: S106 - what must not be seen
        connection={"sasl_username": "bot", "Secret": "hunter2", "nested": [{"api_key": "hunter2"}]},
        sasl_password_file="/run/secrets/kafka",  # noqa: S106 - a path
    )
    logging.getLogger("aiokafka").error("refused: %s", {"sasl_plain_password": "hunter2", "token": 'hunter2 "x"'})
    log_a_crash("password='hunter2' is wrong")

    assert "hunter2" not in log.out.getvalue()
    assert log.lines()[0]["connection"] == {"sasl_username": "bot", "Secret": "(not shown)", "nested": [{"api_key": "(not shown)"}]}
    assert log.lines()[0]["sasl_password_file"] == "/run/secrets/kafka"  # noqa: S105 - a path
    assert log.lines()[0]["event"] == "connects to sasl://bot:(not shown)@kafka:9092"


def test_redaction_leaves_the_callers_values_as_they_are() -> None:
    given = {"event": "x", "connection": {"password": "hunter2"}}

    redact(None, "info", given)

    assert given == {"event": "x", "connection": {"password": "hunter2"}}


def test_a_flood_of_one_message_is_one_line_a_period_with_a_count(log: Log) -> None:
    library = logging.getLogger("aiokafka.conn")
    for i in range(250):  # 25 s at 10 lines a second
        log.now = i * 100
        library.error("Unable connect to node with id %s: attempt %d", 0, i)

    assert [(line["event"].split()[-1], line.get("suppressed")) for line in log.lines()] == [("0", None), ("100", 99), ("200", 99)]


def test_different_messages_and_levels_are_not_held_back(log: Log) -> None:
    library = logging.getLogger("faust")
    library.error("one")
    library.error("two")
    library.warning("one")
    logging.getLogger("faust.tables").error("one")

    assert len(log.lines()) == 4


def test_our_own_message_may_tell_of_several_partitions_but_not_flood(log: Log) -> None:
    for partition in range(OWN_BURST + 5):
        structlog.get_logger("pipeline.app").warning("topic differs", partition=partition)
    log.now = 10_000
    structlog.get_logger("pipeline.app").warning("topic differs", partition=99)

    partitions = [line["partition"] for line in log.lines()]
    assert partitions == [*range(OWN_BURST), 99]
    assert log.lines()[-1]["suppressed"] == 5


def test_the_throttle_forgets_what_was_not_seen_for_longest() -> None:
    throttle = Throttle(lambda: 0)

    def is_written(name: str) -> bool:
        return throttle.filter(logging.LogRecord(name, logging.ERROR, "", 0, "gone", (), None))

    first = [is_written(f"logger-{i}") for i in range(MAX_MESSAGES + 1)]

    assert all(first)
    assert not is_written(f"logger-{MAX_MESSAGES}")
    assert is_written("logger-0")


def test_people_read_lines_without_json_and_without_control_characters() -> None:
    out = io.StringIO()
    configure_logs(clock_ms=lambda: 0, stream=out, is_human=True)

    structlog.get_logger("pipeline.app").info("alert of \x1b[31mcart\nfake line", service_key="prod/\x1b[31mcart\nfake line")

    assert "service_key=" in out.getvalue()
    assert "alert of \\x1b[31mcart\\nfake line" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1


def test_configuring_again_does_not_write_twice(log: Log) -> None:
    configure_logs(clock_ms=log.clock_ms, stream=log.out)

    structlog.get_logger("pipeline.app").info("worker is ready")

    assert len(log.lines()) == 1


def test_a_process_writes_its_log_on_stderr_only() -> None:
    program = (
        "import structlog; from pipeline.adapters.logs import configure_logs; configure_logs(clock_ms=lambda: 0); "
        "structlog.get_logger('x').info('worker is ready')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert json.loads(done.stderr)["event"] == "worker is ready"
