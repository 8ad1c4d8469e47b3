"""The pipeline's stages, one a file: parse, call the library, write the outputs."""

import sys
from collections.abc import Callable

import typer


def run(stage: Callable[..., None]) -> None:
    """Run a stage as a command. What a user can mend (ValueError, a full or read-only disk) is said in one line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(stage)
    try:
        app()
    except (ValueError, OSError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        print("\n".join(["error: " + lines[0], *("       " + line for line in lines[1:])]), file=sys.stderr)
        sys.exit(1)
