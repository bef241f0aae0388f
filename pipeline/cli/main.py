"""The command line put together: its commands, and what becomes of errors (one clear sentence, an exit code)."""

import logging
import os
import sys
from collections.abc import Iterable

import typer

from pipeline.cli import dead_letters, schemas, topics
from pipeline.cli.backtest import backtest
from pipeline.cli.check_config import check_config
from pipeline.cli.explain import explain
from pipeline.cli.explain_mapping import explain_mapping
from pipeline.cli.feedback import feedback
from pipeline.cli.options import examples
from pipeline.cli.output import tell
from pipeline.cli.replay import replay
from pipeline.cli.simulate import simulate
from pipeline.cli.tail import tail
from pipeline.cli.train import train
from pipeline.cli.up import up
from pipeline.cli.version import version
from pipeline.cli.worker import worker
from pipeline.errors import ConfigError, PipelineError, UsageError

FAILED, USAGE = 1, 2


app = typer.Typer(
    name="tocsin",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Telemetry in; golden signals, anomalies, alerts and remediation events out.",
    epilog=examples("tocsin up", "tocsin up --for 180", "tocsin explain demo/payments", "tocsin tail alert-events --follow"),
)
app.command(
    epilog=examples("tocsin up", "tocsin up --for 180 --seed 3", "tocsin up --broker localhost:9092 --history 0"),
)(up)
app.command(
    epilog=examples("tocsin worker", "tocsin worker --role ingest --broker kafka:9092"),
)(worker)
app.add_typer(topics.app, name="topics")
app.command(
    epilog=examples(
        "tocsin simulate --fault latency:payments:60:120",
        "tocsin simulate --as-fast-as-possible --duration 3600 --out shop.ndjson",
    ),
)(simulate)
app.command(
    epilog=examples(
        "tocsin replay shop.ndjson --shift-to-now --speed max",
        "tocsin replay petshop/low_traffic/noissue --format petshop --speed 600",
    ),
)(replay)
app.command(
    epilog=examples("tocsin tail signals --service payments", "tocsin tail alert-events --follow --json"),
)(tail)
app.command(
    epilog=examples("tocsin explain demo/payments", "tocsin explain demo/payments/latency --json"),
)(explain)
app.command(
    name="explain-mapping",
    epilog=examples("tocsin explain-mapping export.pb", "kcat -C -t otlp_metrics -c 1 | tocsin explain-mapping /dev/stdin --json"),
)(explain_mapping)
app.command(
    epilog=examples(
        "tocsin backtest telemetry.ndjson --labels faults.json --report report.html",
        "tocsin backtest --topic telemetry.metrics --from 2026-01-05T00:00:00Z --json",
    ),
)(backtest)
app.command(
    epilog=examples(
        "tocsin train --topic telemetry.metrics",
        "tocsin train telemetry.ndjson --out models.ndjson",
        "tocsin train --load models.ndjson --broker kafka:9092",
    ),
)(train)
app.command(
    epilog=examples(
        "tocsin feedback prod/cart false_positive --condition latency --by jo",
        "tocsin feedback prod/cart new_normal --note 'larger pages since Tuesday'",
    ),
)(feedback)
app.command(name="check-config", epilog=examples("tocsin check-config --config /etc/tocsin"))(check_config)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(schemas.app, name="schemas")
app.command(epilog=examples("tocsin version --json"))(version)


def main() -> None:
    """Run the command line, and exit."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; Tocsin's own errors become sentences on stderr, never a traceback.

    Parameters
    ----------
    arguments
        Without the program's name; ``None``: this process's.

    """
    # Python writes warnings without a handler on stderr, across the live view; the client retries, or raises what we tell.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        app(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else FAILED
    except UsageError as problem:
        _complain([str(problem)])
        return USAGE
    except ConfigError as problem:
        _complain(problem.problems)
        return FAILED
    except BrokenPipeError:  # whoever read our output has seen enough; nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PipelineError, OSError) as problem:
        _complain([str(problem)])
        return FAILED
    return 0


def _complain(problems: Iterable[str]) -> None:
    for problem in problems:
        tell(f"tocsin: {problem}")
