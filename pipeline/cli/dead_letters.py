"""`tocsin dead-letters list | show | replay`: what was rejected, why, and again once it can be read."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.letters import (
    Letter,
    Resend,
    counts_by_reason,
    describe,
    distinct,
    letter_of,
    replayed_id,
    replayed_note,
    resend_of,
    summary,
)
from pipeline.cli.options import AsJson, Broker, ConfigDir, examples, settings_of
from pipeline.cli.output import say, say_columns, say_json, tell
from pipeline.cli.running import run
from pipeline.cli.wording import moment, safe, safe_bytes
from pipeline.contracts.readings import RejectReason
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.settings import Settings

app = typer.Typer(help="List, read and replay what was rejected.", no_args_is_help=True)

ReasonFilter = Annotated[RejectReason | None, typer.Option("--reason", help="Only those rejected for this reason.")]
Which = Annotated[
    str, typer.Argument(metavar="ID|TOPIC/PARTITION/OFFSET", help="As `list` shows it; the beginning of an id is enough.")
]


@app.command(name="list", epilog=examples("tocsin dead-letters list", "tocsin dead-letters list --reason invalid_json --last 5"))
def list_(
    *,
    last: Annotated[int, typer.Option("--last", "-n", min=1, metavar="N", help="The newest N.")] = 20,
    reason: ReasonFilter = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """List the newest dead letters, and how many there are for each reason."""
    letters = _filtered(run(_read(settings_of(config, broker))), reason)
    newest = letters[-last:]
    counts = counts_by_reason(letters)
    if as_json:
        for letter in newest:
            say_json(summary(letter))
        return
    if not letters:
        say("no dead letters")
        return
    rows = [
        (
            safe(letter.why.id[:8]),
            safe(letter.place),
            moment(letter.why.timestamp_ms),
            f"{letter.why.n_rejected} of {letter.why.n_records}",
            ", ".join(letter.reasons),
            "yes" if letter.is_replayed else "-",
            "(tombstone)" if letter.value is None else safe_bytes(letter.value, 60),
        )
        for letter in newest
    ]
    say_columns([("id", "came from", "time", "records", "reasons", "sent again", "bytes begin"), *rows])
    say(f"{len(letters)} in all, by reason: " + ", ".join(f"{name} {n}" for name, n in counts.items()))


@app.command(
    name="show", epilog=examples("tocsin dead-letters show telemetry.metrics/0/41", "tocsin dead-letters show 3f2a9c --raw")
)
def show_(
    which: Which,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the untouched bytes on stdout, nothing else.")] = False,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show where a dead letter came from, each reason, and its bytes (escaped)."""
    letter = _find(run(_read(settings_of(config, broker))), which)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.buffer.flush()
    elif as_json:
        say_json(summary(letter) | {"value_hex": None if letter.value is None else letter.value.hex()})
    else:
        for line in describe(letter):
            say(line)


@app.command(
    epilog=examples(
        "tocsin dead-letters replay --dry-run",
        "tocsin dead-letters replay 3f2a9c",
        "tocsin dead-letters replay --reason future_time",
    )
)
def replay(
    which: Annotated[list[str] | None, typer.Argument(metavar="[ID|TOPIC/PARTITION/OFFSET]...", help="Default: all.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent again before.")] = False,
    reason: ReasonFilter = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to their topics again, each once: untouched bytes; of partly bad messages the rejected records only."""
    settings = settings_of(config, broker)
    letters = run(_read(settings))
    chosen = [_find(letters, name) for name in which] if which else [one for one in letters if again or not one.is_replayed]
    resends = [(letter, resend_of(letter, again=again)) for letter in _filtered(chosen, reason)]
    sound = [(letter, resend) for letter, resend in resends if not resend.refusal]
    if not dry_run:
        run(_send(settings, sound))
    for letter, resend in resends:
        _report(letter, resend, dry_run=dry_run, as_json=as_json)
    if not as_json:
        say(f"{len(sound)} {'would be' if dry_run else 'were'} sent again, {len(resends) - len(sound)} not")
    if len(sound) < len(resends):
        raise typer.Exit(1)


def _report(letter: Letter, resend: Resend, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        is_sent = not dry_run and not resend.refusal
        say_json({"place": letter.place, "id": letter.why.id, "topic": resend.topic, "sent": is_sent, "refusal": resend.refusal})
    elif resend.refusal:
        tell(f"{safe(letter.place)}: not sent: {resend.refusal}")
    else:
        n_bytes = "a tombstone" if resend.value is None else f"{len(resend.value)} bytes"
        say(f"{safe(letter.place)}: {n_bytes} to {safe(resend.topic)}")


def _filtered(letters: list[Letter], reason: RejectReason | None) -> list[Letter]:
    return [letter for letter in letters if reason is None or reason.value in letter.reasons]


def _find(letters: list[Letter], which: str) -> Letter:
    found = [letter for letter in letters if letter.place == which or letter.why.id.startswith(which)]
    if not found:
        raise UsageError(f"there is no dead letter {which!r}: `tocsin dead-letters list` names them")
    if len(found) > 1:
        raise UsageError(f"{which!r} is the beginning of {len(found)} ids: give more of it")
    return found[0]


async def _read(settings: "Settings") -> list[Letter]:
    from pipeline.cli.reading import read  # noqa: PLC0415 - what --help need not wait for

    names = {"dead-letters": settings.topics.names()["dead-letters"]}
    letters: list[Letter] = []
    replayed_ids: set[str] = set()
    async for record in read(settings.connection, names):
        letter = letter_of(record.offset, record.value, record.headers)
        letter_id = replayed_id(record.headers)
        if letter is not None:
            letters.append(letter)
        elif letter_id is not None:
            replayed_ids.add(letter_id)
    return distinct(letters, replayed_ids)


async def _send(settings: "Settings", resends: list[tuple[Letter, Resend]]) -> None:
    """Send each letter, and note on the dead-letter topic that it was sent, in this order: a crash between repeats it."""
    from pipeline.adapters.kafka import producer, speaking_to  # noqa: PLC0415

    async with speaking_to(settings.connection), producer(settings.connection) as sender:
        waiting = [
            await sender.send(
                resend.topic, resend.value, key=resend.key, timestamp_ms=resend.timestamp_ms, headers=list(resend.headers)
            )
            for _, resend in resends
        ]
        for sent in waiting:
            await sent
        names = settings.topics.names()
        notes = []
        for letter, _ in resends:
            topic, key, headers = replayed_note(letter)
            notes.append(await sender.send(names[topic], None, key=key, headers=list(headers)))
        for noted in notes:
            await noted
