"""`python -m pipeline.cli`: the same as `tocsin`."""

from pipeline.cli.main import main

main()
