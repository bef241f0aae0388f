"""`tocsin check-config`: every problem of the configuration at once."""

import typer

from pipeline.cli.options import AsJson, ConfigDir, settings_of
from pipeline.cli.output import say, say_json
from pipeline.errors import ConfigError


def check_config(*, config: ConfigDir = None, as_json: AsJson = False) -> None:
    """Read the configuration as a worker would, and name every problem with file, key, value and rule."""
    problems: tuple[str, ...] = ()
    try:
        settings_of(config, None)
    except ConfigError as refused:
        problems = refused.problems
    if as_json:
        say_json({"ok": not problems, "problems": problems})
    elif not problems:
        say("the configuration is sound")
    else:
        for problem in problems:
            say(problem)
        say(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}")
    if problems:
        raise typer.Exit(1)
