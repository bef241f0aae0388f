"""How an app resumes after a rebalance: seek first, clear while still paused, then resume, with nothing awaited between."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaTimeoutError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from faust.types.transports import ConsumerT
from mode import Seconds

from pipeline.adapters.transport.consumer import BulkConsumer
from pipeline.adapters.transport.reading import reading_of

_POLL_S = 0.02


class SeekFirstRecovery(Recovery):
    """Faust's recovery, with its first race at a rebalance mended (docs/adr/0003)."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Call when the tables are recovered."""
        self.log.info("Restore complete!")
        await self.app.on_rebalance_complete.send()
        self._set_recovery_ended()
        await asyncio.gather(
            *(
                table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
                for table in self.tables.values()
            )
        )
        await self._resume(generation_id)

    async def _resume_streams(self, generation_id: int = 0) -> None:
        await self.app.on_rebalance_complete.send()
        await self._resume(generation_id)

    async def _resume(self, generation_id: int) -> None:
        app, consumer = self.app, self.app.consumer
        if consumer.assignment():
            self.log.info("Seek stream partitions to committed offsets.")
            await self._wait(consumer.perform_seek())
        if app.consumer_generation_id != generation_id:
            self.log.warning("Recovery rebalancing again: generation %s, now %s", generation_id, app.consumer_generation_id)
            return
        # From here to resume_flow() nothing may be awaited: what is fetched between would be cleared, and lost.
        app.flow_control.clear()
        consumer.resume_partitions({tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)})
        self.completed.set()
        app.flow_control.resume()
        consumer.resume_flow()
        await app._fetcher.maybe_start()  # type: ignore[attr-defined] # noqa: SLF001 - App has it, AppT does not say so
        self.tables.on_actives_ready()
        if not app.assignor.assigned_standbys():
            self.tables.on_standbys_ready()
        app.on_rebalance_end()
        self.log.info("Worker ready")

    async def _wait(self, coro: Any, timeout: Seconds | None = None) -> None:  # noqa: ARG002, ASYNC109 - Faust's signature
        """Wait however long it takes, or until another rebalance.

        With a limit, mode tells a time-out as a stop; recovery would end for good, and the worker idle without a word.
        aiokafka's own requests have their limits, and raise.
        """
        await super()._wait(coro)

    async def _build_highwaters(self, consumer: ConsumerT, tps: set[TP], destination: Counter[TP], title: str) -> None:
        await self._patiently(super()._build_highwaters, consumer, tps, destination, title)
        if reading_of(self.app).is_embedded and isinstance(consumer, BulkConsumer):  # type: ignore[arg-type] # AppT
            await self._find_true_ends(consumer, tps, destination)

    async def _build_offsets(self, consumer: ConsumerT, tps: set[TP], destination: Counter[TP], title: str) -> None:
        await self._patiently(super()._build_offsets, consumer, tps, destination, title)

    async def _patiently(self, ask: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Ask again while the broker does not answer in time: a broker that stands still for a while is no reason to end."""
        while True:
            try:
                await ask(*args)
            except KafkaTimeoutError as problem:
                self.log.warning("The broker does not tell where changelogs end, asking again: %s", problem)
            else:
                return

    async def _find_true_ends(self, consumer: BulkConsumer, tps: set[TP], destination: Counter[TP]) -> None:
        """Replace Tansu's answer (last batch's base offset + 1) by the high watermark that comes with a fetch."""
        until = monotonic() + self.app.conf.broker_request_timeout
        for tp in tps:
            while (end := consumer.high_watermark_now(tp)) is None and monotonic() < until:
                await self.sleep(_POLL_S)
            if end is not None:
                destination[tp] = max(destination[tp], end - 1)


class SeekFirstTables(TableManager):
    """Faust's table manager with that recovery."""

    async def on_start(self) -> None:
        """Start at once: Faust waits a second for tables that are declared late, and ours never are."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """Recovery service used by this table manager."""
        if self._recovery is None:
            self._recovery = SeekFirstRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
