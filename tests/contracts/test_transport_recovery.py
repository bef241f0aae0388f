"""Recovery that a broker keeps waiting: it goes on waiting, where Faust's ends for good without a word."""

import asyncio

import faust
from aiokafka.errors import KafkaTimeoutError

from pipeline.adapters.transport.rebalance import SeekFirstRecovery


def recovery() -> SeekFirstRecovery:
    app = faust.App("waiting", broker="memory://", store="memory://", web_enabled=False)
    return SeekFirstRecovery(app, app.tables)


async def test_a_wait_past_its_limit_is_not_taken_for_a_stop() -> None:
    ended: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0.05)
        ended.append("asked")

    await recovery()._wait(slow(), timeout=0.001)

    assert ended == ["asked"]


async def test_a_broker_that_does_not_answer_in_time_is_asked_again() -> None:
    answers = [KafkaTimeoutError(), KafkaTimeoutError(), None]

    async def ask() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    await recovery()._patiently(ask)

    assert answers == []
