"""Sends messages to Kafka as fast as it takes them, or at the pace of their times; says how far it is."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.simulation.messages import Message

MAX_PENDING = 5_000
"""Unacknowledged messages before the next one waits: bounds memory."""
YIELD_EVERY = 50
"""Messages between two chances for other tasks: making a message costs up to half a millisecond."""
MAX_NAP_S = 0.25
"""Longest sleep of a paced feed, so that a clock that is set is noticed."""


class Sender(Protocol):
    """The part of aiokafka's producer that is used here."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, timestamp_ms: int | None
    ) -> Awaitable[object]:
        """Queue a message; the awaitable that it returns is done when the broker has acknowledged."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a feed is: messages and records handed over, and the time of the latest (UTC epoch ms)."""

    messages: int = 0
    records: int = 0
    time_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a message is due: event time ``origin_ms`` at wall time ``began_ms``, from there ``speed`` times as fast."""

    origin_ms: int
    began_ms: int
    speed: float

    def due_ms(self, time_ms: int) -> int:
        """Return the wall time at which something of ``time_ms`` is due, UTC epoch ms.

        Examples
        --------
        >>> Pace(origin_ms=0, began_ms=5_000, speed=10).due_ms(20_000)
        7000

        """
        return self.began_ms + int((time_ms - self.origin_ms) / self.speed)


async def send_all(
    sender: Sender,
    messages: Iterable[Message],
    *,
    names: Mapping[str, str],
    now_ms: Callable[[], int],
    pace: Pace | None = None,
    progress: Progress | None = None,
) -> Progress:
    """Send messages in order, and wait until all are acknowledged.

    Parameters
    ----------
    sender
        A started producer.
    messages
        In order of time.
    names
        Topic name on the broker by default name; others stay as they are.
    now_ms
        The clock, UTC epoch ms.
    pace
        ``None``: as fast as the broker takes them.
    progress
        Kept up to date while it sends.

    Returns
    -------
    Progress
        At the end.

    Raises
    ------
    aiokafka.errors.KafkaError
        If the broker refuses a message for good.

    """
    done = progress or Progress()
    pending: deque[Awaitable[object]] = deque()
    for message in messages:
        if pace is not None:
            await _until(pace.due_ms(message.timestamp_ms), now_ms)
        topic = names.get(message.topic, message.topic)
        pending.append(await sender.send(topic, message.value, message.key, None, message.timestamp_ms))
        done.messages += 1
        done.records += message.records
        done.time_ms = message.timestamp_ms
        if len(pending) > MAX_PENDING:
            await pending.popleft()
        if done.messages % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    while pending:
        await pending.popleft()
    return done


async def _until(due_ms: int, now_ms: Callable[[], int]) -> None:
    while (left_ms := due_ms - now_ms()) > 0:  # noqa: ASYNC110 - what is waited for is the time
        await asyncio.sleep(min(MAX_NAP_S, left_ms / 1000))
