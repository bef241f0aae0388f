"""Makes `python -m pipeline.cli` the same as `tocsin`."""

from pipeline.cli.main import main

if __name__ == "__main__":
    main()
