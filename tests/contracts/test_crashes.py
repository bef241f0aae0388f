"""What goes wrong in a timer or in an agent ends the worker, with the reason; it never dies without a word."""

import asyncio
from typing import Any

import pytest

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.faust_run import AppCrashed, run_apps
from pipeline.adapters.transport import batches, bulk_topic
from pipeline.errors import BrokerError
from tests.contracts.transport_harness import app_of, new_topic, noting_agent, produce, unique

pytestmark = pytest.mark.embedded


async def test_a_refusal_in_a_timer_ends_the_worker_with_its_sentence(embedded_broker: LocalBroker) -> None:
    topic = await new_topic(embedded_broker)
    app = app_of("bulk", embedded_broker, topic, unique("app"))
    noting_agent(app, topic)

    @app.timer(0.1, on_leader=False)  # type: ignore[untyped-decorator] # Faust's
    async def tick(_app: Any = None) -> None:
        raise BrokerError("partials does not take a record")

    with pytest.raises(BrokerError, match="partials does not take a record"):
        await asyncio.wait_for(run_apps([app], stop=asyncio.Event()), 20)


@pytest.mark.parametrize("problem", [KeyError("a"), RuntimeError("b"), AssertionError("c")])
async def test_whatever_an_agent_raises_ends_the_worker(embedded_broker: LocalBroker, problem: Exception) -> None:
    topic = await new_topic(embedded_broker)
    app = app_of("bulk", embedded_broker, topic, unique("app"))

    @app.agent(bulk_topic(app, topic), name="shell")
    async def shell(stream: Any) -> None:
        async for _ in batches(stream):
            raise problem

    await produce(embedded_broker, topic, 10)
    with pytest.raises(AppCrashed, match=type(problem).__name__):
        await asyncio.wait_for(run_apps([app], stop=asyncio.Event()), 20)
