"""What OTLP logs and spans have in common: resources with records within, each of which is read, refused, or ignored."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Reading, Rejection, SampledSpan
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.otlp_limits import too_many_parts
from pipeline.ingest.decoders.otlp_parts import attributes_of, message_of
from pipeline.ingest.semantics import Sender, semantics_of

M = TypeVar("M", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Envelope(Generic[T]):
    """A message that was opened: what of it is refused already, and each sender, or why it is refused, with its records."""

    rejections: list[Rejection]
    senders: list[tuple[Sender | FieldRefused, list[T]]]

    def known(self) -> Iterator[tuple[Sender, list[T]]]:
        """Yield the senders that are not refused."""
        for who, items in self.senders:
            if not isinstance(who, FieldRefused):
                yield who, items

    def decoded(self, read: Callable[[Sender, T], Reading | None], sampled: Sequence[SampledSpan] = ()) -> Decoded:
        """Return what the message holds; ``read`` makes a record's reading, or ``None``: it is ignored."""
        harvest = Harvest()
        harvest.rejections.extend(self.rejections)
        harvest.sampled.extend(sampled)
        for who, items in self.senders:
            if isinstance(who, FieldRefused):
                harvest.refuse_rest(who, len(items))
                continue
            for item in items:
                harvest.index += 1
                try:
                    reading = read(who, item)
                except FieldRefused as refusal:
                    harvest.refuse(refusal)
                    continue
                if reading is None:
                    harvest.n_ignored += 1
                else:
                    harvest.readings.append(reading)
        return harvest.decoded()


def opened(
    config: IngestConfig,
    topic: str,
    record: InRecord,
    kind: type[M],
    parts: Callable[[M], Iterable[tuple[Resource, Iterable[Sequence[T]]]]],
    *,
    called: str,
) -> Envelope[T] | Decoded:
    """Return the senders of a message of a kind, in protobuf or JSON, with the records that ``parts`` finds in its scopes.

    A message that is refused whole, because it cannot be read or holds too much (records are ``called`` so), is decoded already.
    """
    found = message_of(config, kind, record.value or b"")
    if isinstance(found, Decoded):
        return found
    message, rejections = found
    too_many = too_many_parts(config, ((len(items) for items in scopes) for _, scopes in parts(message)), called)
    if too_many is not None:
        return too_many
    semantics = semantics_of(config)
    senders: list[tuple[Sender | FieldRefused, list[T]]] = []
    for resource, scopes in parts(message):
        items = [item for within in scopes for item in within]
        try:
            senders.append((semantics.sender(topic, attributes_of(config, resource.attributes, "resource.attributes")), items))
        except FieldRefused as refusal:
            senders.append((refusal, items))
    return Envelope(rejections, senders)
