"""The bulk driver as Faust sees it: a transport under the URL scheme ``tocsin://``, and how agents declare bulk topics."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar, cast

import faust
from faust.transport import drivers
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, Message
from faust.types.topics import TopicT
from faust.types.transports import ConsumerT, ProducerT

from pipeline.adapters.codecs import install
from pipeline.adapters.ledger import TopicPartition
from pipeline.adapters.transport.consumer import BulkConsumer
from pipeline.adapters.transport.producer import BulkProducer
from pipeline.adapters.transport.reading import reading_of

SCHEME = "tocsin"


class Transport(stock.Transport):
    """Faust's aiokafka transport with the bulk consumer and producer."""

    Consumer: ClassVar[type[ConsumerT]] = BulkConsumer
    Producer: ClassVar[type[ProducerT]] = BulkProducer


class BatchSchema(faust.Schema[Any, Any]):
    """Passes keys and values on as they are: the driver has made them."""

    def loads_key(self, app: Any, message: Message, **kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Return the key untouched."""
        return message.key

    def loads_value(self, app: Any, message: Message, **kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Return the batch untouched."""
        return message.value


def register() -> None:
    """Make the scheme known to Faust: the registry that setuptools entry points fill, without an installed package.

    In this process nothing of aiokafka decompresses without a bound any more.
    """
    install()
    drivers.TRANSPORTS[SCHEME] = f"{__name__}:Transport"


def bulk_topic(app: faust.App, *names: str) -> TopicT:
    """Return the Faust topic to read bulk topics with, in one agent; each event's value is a :class:`Batch`.

    Its acks are off, because the ledger decides what is committed there.

    Raises
    ------
    ValueError
        If one of the names is not a bulk topic of this app.

    """
    unknown = sorted(set(names) - reading_of(app).topics)
    if unknown:
        raise ValueError(f"not bulk topics of {app.conf.id}: {', '.join(unknown)}")
    return app.topic(*names, schema=BatchSchema(), acks=False)


async def batches(stream: Any) -> AsyncIterator[Any]:
    """Yield the events of a bulk stream, without Faust's own acknowledgements, and without batches that a seek has overtaken.

    A delivery that is under way when a rebalance begins waits in Faust and arrives after it, behind the seek. Where the
    group has no commit yet, such a batch would be taken for the beginning of the log.
    """
    async for event in stream.noack().events():
        if _consumer(stream.app).is_current(event.message.value):
            yield event


async def seek_to_standing(app: faust.App, tp: TopicPartition, *, max_batch_bytes: int | None = None) -> bool:
    """Read a bulk partition again from where the ledger stands; what is queued of it is dropped.

    With ``max_batch_bytes`` its record batches are held to that from there on. Returns whether the partition is still this
    worker's.
    """
    if max_batch_bytes is not None:
        reading_of(app).max_batch_bytes_by_tp[TP(*tp)] = max_batch_bytes
    return await _consumer(app).seek_to_standing(TP(*tp))


def generation(app: faust.App) -> int:
    """Return the consumer group's generation that this worker is in."""
    return int(app.consumer_generation_id)


def assigned(app: faust.App) -> set[TopicPartition]:
    """Return the bulk partitions that this worker owns now."""
    consumer = _consumer(app)
    return {(tp.topic, tp.partition) for tp in _assignment(consumer) if consumer.is_bulk(tp)}


def is_caught_up(app: faust.App, tp: TopicPartition) -> bool:
    """Tell whether all of a partition, as known from the last fetch, has been handed to its agent."""
    return _consumer(app).is_caught_up(TP(*tp))


def is_waiting(app: faust.App, topic: str) -> bool:
    """Tell whether a batch of a bulk topic waits for its agent."""
    consumer = _consumer(app)
    return any(consumer.n_waiting(tp) for tp in _assignment(consumer) if tp.topic == topic)


def position_by_partition(app: faust.App) -> dict[TopicPartition, int]:
    """Return the fetch position of each owned partition that has one, changelogs included."""
    consumer = _consumer(app)
    positions = {tp: consumer.position_now(tp) for tp in _assignment(consumer)}
    return {(tp.topic, tp.partition): position for tp, position in positions.items() if position is not None}


def lag_by_partition(app: faust.App) -> dict[TopicPartition, int]:
    """Return by how many offsets the fetch position of each owned stream partition is behind the end of the log."""
    consumer = _consumer(app)
    lags: dict[TopicPartition, int] = {}
    for tp in _assignment(consumer):
        position, end = consumer.position_now(tp), consumer.high_watermark_now(tp)
        if position is not None and end is not None and tp.topic not in app.tables.changelog_topics:
            lags[tp.topic, tp.partition] = max(end - position, 0)
    return lags


def end_by_partition(app: faust.App) -> dict[TopicPartition, int]:
    """Return the end of the log of each owned bulk partition, as known from its last fetch."""
    consumer = _consumer(app)
    ends = {tp: consumer.high_watermark_now(TP(*tp)) for tp in assigned(app)}
    return {tp: end for tp, end in ends.items() if end is not None}


def is_heard(app: faust.App, tp: TopicPartition) -> bool:
    """Tell whether the broker has answered a fetch of a partition lately."""
    return _consumer(app).is_heard(TP(*tp))


def reached(app: faust.App, tp: TopicPartition, folded: int | None) -> int | None:
    """Return how far a partition is done whose shell has folded all before ``folded`` (``None``: it has not begun).

    Where everything that was delivered is folded, that is the fetch position: the log holds nothing before it (any more).
    """
    return _consumer(app).reached(TP(*tp), folded)


def jumps_by_partition(app: faust.App) -> dict[TopicPartition, int]:
    """Return how often a delivery did not go on from the one before it, by partition; 0 is left out."""
    return {(tp.topic, tp.partition): count for tp, count in reading_of(app).jumps.items()}


def _assignment(consumer: BulkConsumer) -> Iterable[TP]:
    try:
        return consumer.assignment()
    except faust.exceptions.ConsumerNotStarted:
        return ()


def _consumer(app: faust.App) -> BulkConsumer:
    return cast(BulkConsumer, app.consumer)
