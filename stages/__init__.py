"""The pipeline's stages, one a file: parse, call the library, write the outputs."""

import gc
import signal
import sys
from collections.abc import Callable
from typing import Any

from seglib.files import explain
from seglib.pipeline.watchdog import end_with_dvc

end_with_dvc()


def run(stage: Callable[..., None]) -> None:
    """Run a stage as a command. What a user can mend (ValueError, a full or read-only disk) is said in one line.

    SIGTERM ends it as an error does: what is half written is taken away.
    """
    import typer  # not before DVC is watched

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(stage)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except MemoryError:
        _fail("out of memory")
    except OSError as error:
        _fail(explain(error))
    except ValueError as error:
        _fail(str(error) or type(error).__name__)
    finally:
        gc.freeze()  # Python would search all modules for garbage before it ends: a fifth of a second for PyTorch's


def _terminated(number: int, frame: Any) -> None:
    print("stopped by SIGTERM; run the same command to resume", file=sys.stderr)
    sys.exit(128 + number)


def _fail(text: str) -> None:
    first, *more = text.splitlines()
    print("\n".join(["error: " + first, *("       " + line for line in more)]), file=sys.stderr)
    sys.exit(1)
