"""`tocsin train`: detectors learn from history, so that a live worker starts warm."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.history import (
    FromOffset,
    FromTime,
    Progress,
    Range,
    RecordingFormat,
    SourceFile,
    ToOffset,
    TopicNames,
    ToTime,
    opened,
)
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say, say_json, tell
from pipeline.cli.replay import Format
from pipeline.cli.running import run
from pipeline.cli.wording import counted
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.contracts.models import ModelSnapshot
    from pipeline.settings import Settings


def train(
    source: SourceFile = None,
    *,
    format_: RecordingFormat = Format.NDJSON,
    topic: TopicNames = None,
    from_: FromTime = None,
    to: ToTime = None,
    from_offset: FromOffset = None,
    to_offset: ToOffset = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write what was learned there, publish nothing.")
    ] = None,
    load: Annotated[Path | None, typer.Option("--load", metavar="FILE", help="Publish what --out wrote, learn nothing.")] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Let the detectors learn from history, without an alert, and publish what they know: workers started next are warm.

    Services of which a worker of this app_id has learned already are left as they are.
    """
    settings = settings_of(config, broker)
    if load is not None and (source is not None or topic or out is not None):
        raise UsageError("--load publishes what a file holds: neither a history nor --out goes with it")
    if load is not None:
        snapshots = loaded(load)
    else:
        wanted = Range(
            source=source,
            format=format_,
            topics=tuple(topic or ()),
            start=from_,
            end=to,
            from_offset=from_offset,
            to_offset=to_offset,
        )
        snapshots = _learned(settings, wanted)
    if out is not None:
        from pipeline.backtest.memories import file_lines  # noqa: PLC0415 - what --help need not wait for

        with out.open("wb") as file:
            file.writelines(file_lines(snapshots))
        _told({"snapshots": len(snapshots), "out": str(out)}, f"{counted(len(snapshots), 'snapshot')} written", as_json=as_json)
        return
    n_kept = run(_publish(settings, snapshots))
    n_sent = len(snapshots) - n_kept
    kept = f"; {n_kept:,} left as they are, a worker has learned there already" if n_kept else ""
    _told({"snapshots": n_sent, "kept": n_kept}, f"{counted(n_sent, 'snapshot')} published{kept}", as_json=as_json)


def loaded(path: Path) -> "dict[str, ModelSnapshot]":
    """Return the snapshots of a file that ``--out`` wrote, by key.

    Raises
    ------
    UsageError
        If there is no such file, or it is none of ours.
    StateError
        If it cannot be read.

    """
    from pipeline.backtest.memories import key_of, read_file  # noqa: PLC0415 - what --help need not wait for

    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with path.open("rb") as file:
        return {key_of(one): one for one in read_file(file)}


def _learned(settings: "Settings", wanted: Range) -> "dict[str, ModelSnapshot]":
    from pipeline.backtest.chain import Chain, learning_stages  # noqa: PLC0415 - what --help need not wait for
    from pipeline.backtest.histories import run  # noqa: PLC0415
    from pipeline.backtest.memories import new_stage, snapshots_of  # noqa: PLC0415

    detectors = new_stage(settings)
    with opened(wanted, settings) as history:
        chain = Chain(settings, stages=learning_stages(settings, detectors), sources=history.sources)
        progress = Progress(history.n_bytes)
        for fed, _ in run(chain, history.fed):  # and no more: a window that the history has half of is nobody's memory
            progress.passed(fed)
        progress.done()
    if chain.n_rejected:
        tell(f"{chain.n_rejected:,} messages held something that was refused")
    snapshots = snapshots_of(detectors)
    if not snapshots:
        raise UsageError(f"no window of any service came out of {wanted.in_words()}: nothing was learned")
    return snapshots


async def _publish(settings: "Settings", snapshots: "Mapping[str, ModelSnapshot]") -> int:
    """Publish snapshots, but those of services of which a worker has learned; return how many those are."""
    from pipeline.adapters.kafka import partition_counts, producer, speaking_to  # noqa: PLC0415 - what --help need not wait for
    from pipeline.adapters.reading import read_topic  # noqa: PLC0415
    from pipeline.contracts.keys import partition_for, service_key  # noqa: PLC0415
    from pipeline.contracts.models import rank_of, write_snapshot  # noqa: PLC0415

    topic = settings.topics.names()["models"]
    own: set[bytes] = set()
    async with contextlib.aclosing(read_topic(settings.connection, topic)) as records:
        async for read in records:
            key, value = read.record.key, read.record.value
            if key is not None:
                is_own = value is not None and rank_of(value, settings.app_id)[0]
                (own.add if is_own else own.discard)(key)
    n_partitions = (await partition_counts(settings.connection))[topic]
    sent = {name: one for name, one in snapshots.items() if name.encode() not in own}
    async with speaking_to(settings.connection), producer(settings.connection) as sender:
        waiting = []
        for name, one in sent.items():
            partition = partition_for(service_key(one.environment, one.service), n_partitions)
            waiting.append(await sender.send(topic, write_snapshot(one), name.encode(), partition, one.at_ms))
        for acknowledged in waiting:
            await acknowledged
    return len(snapshots) - len(sent)


def _told(data: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    if as_json:
        say_json(data)
    else:
        say(sentence)
