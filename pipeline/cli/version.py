"""`tocsin version`: what is installed."""

import platform
from importlib import metadata

from pipeline.cli.options import AsJson
from pipeline.cli.output import say, say_json

PARTS = ("faust-streaming", "aiokafka", "river")


def version(*, as_json: AsJson = False) -> None:
    """Show the version of Tocsin, and of what decides its behaviour."""
    own = metadata.version("tocsin")
    parts = {name: metadata.version(name) for name in PARTS} | {"python": platform.python_version()}
    if as_json:
        say_json({"tocsin": own, **parts})
    else:
        say(f"tocsin {own} ({', '.join(f'{name} {number}' for name, number in parts.items())})")
