"""`tocsin topics create | check`: makes the topics, or says what differs from config/topics.yaml."""

import typer
from rich.table import Table

from pipeline.cli.options import AsJson, Broker, ConfigDir, examples, settings_of
from pipeline.cli.output import say, say_json, show, tell
from pipeline.cli.running import run

app = typer.Typer(help="Make the topics, or check them.", no_args_is_help=True)


@app.command(epilog=examples("tocsin topics create --broker localhost:9092"))
def create(*, config: ConfigDir = None, broker: Broker = None, as_json: AsJson = False) -> None:
    """Make every topic that is missing; leave those that exist as they are."""
    settings = settings_of(config, broker)
    from pipeline.adapters import topics  # noqa: PLC0415 - what --help need not wait for

    outcomes = run(topics.create(settings.connection, settings.topics))
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    if as_json:
        for outcome in outcomes:
            say_json(outcome)
    else:
        table = Table("topic", "partitions", "outcome", border_style="dim")
        for outcome in outcomes:
            table.add_row(outcome.topic, str(outcome.partitions), outcome.outcome)
        show(table)
    for problem in problems:
        tell(problem.sentence)
    if any(problem.is_fatal for problem in problems):
        raise typer.Exit(1)


@app.command(epilog=examples("tocsin topics check", "tocsin topics check --json"))
def check(*, config: ConfigDir = None, broker: Broker = None, as_json: AsJson = False) -> None:
    """Compare the topics on the broker with the configured ones; exit code 1 when something differs."""
    settings = settings_of(config, broker)
    from pipeline.adapters import topics  # noqa: PLC0415 - what --help need not wait for

    report = run(topics.check(settings.connection, settings.topics))
    if as_json:
        say_json({"ok": not report.problems, "problems": report.problems, "notes": report.notes})
    else:
        for problem in report.problems:
            say(f"{'error' if problem.is_fatal else 'differs'}: {problem.sentence}")
        for note in report.notes:
            say(f"note: {note}")
        if not report.problems:
            say(f"all {len(settings.topics.topics)} topics are as configured")
    if report.problems:
        raise typer.Exit(1)
