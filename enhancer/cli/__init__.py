"""The command line, ``enhancer``: one module per group of commands.

Heavy libraries are imported inside the commands that use them, so that ``enhancer --help`` is there at once.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from enhancer.cli.app import app

    app(prog_name="enhancer")
