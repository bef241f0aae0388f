"""What shells ask the bulk driver, about one app."""

from pipeline.adapters import transport
from pipeline.adapters.faust_apps import TocsinApp


class TransportView:
    """One app's view of its bulk partitions."""

    def __init__(self, app: TocsinApp) -> None:
        self._app = app

    def assigned(self) -> set[tuple[str, int]]:
        """Return the bulk partitions that this worker owns now."""
        return transport.assigned(self._app)

    def generation(self) -> int:
        """Return the consumer group's generation."""
        return transport.generation(self._app)

    def is_caught_up(self, topic: str, partition: int) -> bool:
        """Tell whether everything in the partition has been delivered."""
        return transport.is_caught_up(self._app, (topic, partition))

    def is_waiting(self, topic: str) -> bool:
        """Tell whether a batch of a topic waits for its agent."""
        return transport.is_waiting(self._app, topic)

    async def seek(self, topic: str, partition: int, *, max_batch_bytes: int | None = None) -> None:
        """Read the partition again from where the ledger stands, its record batches held to ``max_batch_bytes`` if that is said."""
        await transport.seek_to_standing(self._app, (topic, partition), max_batch_bytes=max_batch_bytes)
