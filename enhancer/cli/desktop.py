"""``enhancer desktop``: the window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def desktop(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[IN]...", help="Pictures and folders to open.")
    ] = None,
    install_entry: Annotated[
        bool, typer.Option("--install-entry", help="Put it into the desktop's menu for this user, and exit.")
    ] = False,
) -> None:
    """Open the desktop application: drop pictures, compare before and after, enhance them all."""
    from enhancer.cli.command import EXIT_FAILED, log_to_stderr
    from enhancer.cli.output import err, out
    from enhancer.errors import MissingExtraError
    from enhancer.extras import imports_of_extras

    log_to_stderr()
    try:
        with imports_of_extras():
            from enhancer.desktop import app
    except MissingExtraError as error:
        err().print(f"error: {error.message}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED) from error
    except ImportError as error:  # Qt's own libraries are there, and one of the system's is not
        err().print(
            f"error: Qt cannot be loaded: {error}; on Debian and Ubuntu: apt-get install libegl1 libgl1 "
            "libxkbcommon-x11-0 libxcb-cursor0 libdbus-1-3 libfontconfig1",
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_FAILED) from error
    if install_entry:
        for path in app.install_entry():
            out().print(f"wrote {path}", soft_wrap=True)
        return
    raise typer.Exit(app.run([path.absolute() for path in inputs or ()]))
