"""The feed: in order, acknowledged, paced by the clock it is given."""

import asyncio

from pipeline.simulation.feed import Pace, Progress, send_all
from pipeline.simulation.messages import Message


class FakeSender:
    """Remembers what it is given; acknowledges in the next turn of the loop."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, int | None]] = []
        self.acknowledged = 0

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, timestamp_ms: int | None
    ) -> asyncio.Future[object]:
        assert key is None
        assert partition is None
        self.sent.append((topic, value, timestamp_ms))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._acknowledge, done)
        return done

    def _acknowledge(self, done: asyncio.Future[object]) -> None:
        self.acknowledged += 1
        done.set_result(None)


def made(n: int) -> list[Message]:
    return [Message(topic="changes", key=None, value=b"%d" % i, timestamp_ms=i * 10, records=2) for i in range(n)]


async def test_messages_are_sent_in_order_under_the_broker_s_names_and_all_are_acknowledged() -> None:
    sender, progress = FakeSender(), Progress()

    await send_all(sender, made(6_000), names={"changes": "tocsin.changes"}, now_ms=lambda: 0, progress=progress)

    assert sender.sent == [("tocsin.changes", b"%d" % i, i * 10) for i in range(6_000)]
    assert sender.acknowledged == 6_000
    assert (progress.messages, progress.records, progress.time_ms) == (6_000, 12_000, 59_990)


async def test_a_paced_feed_waits_until_a_message_is_due() -> None:
    clock = iter(range(1_000, 2_000, 5))
    now = [0]

    def now_ms() -> int:
        now[0] = next(clock)
        return now[0]

    class Watching(FakeSender):
        async def send(
            self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, timestamp_ms: int | None
        ) -> asyncio.Future[object]:
            assert now[0] >= pace.due_ms(timestamp_ms or 0)
            return await super().send(topic, value, key, partition, timestamp_ms)

    pace = Pace(origin_ms=0, began_ms=1_000, speed=2.0)
    sender = Watching()

    await send_all(sender, made(5), names={}, now_ms=now_ms, pace=pace)

    assert len(sender.sent) == 5
    assert now[0] >= 1_020
