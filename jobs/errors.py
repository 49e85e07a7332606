"""How every entry script ends: bad input is one line and exit code 2, a failed run one line and 1, Ctrl-C 130."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from recur.errors import InputError, RecurError

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def run_app(app: Callable[[], object]) -> NoReturn:
    """Run a typer app (or any callable) and leave the process with the exit code that its outcome deserves.

    Args:
        app: parses `sys.argv` itself; a `SystemExit` it raises (usage errors, `typer.Exit`) passes through.
    """
    try:
        app()
    except InputError as error:
        _end(f"error: {error}", EXIT_INPUT)
    except RecurError as error:
        _end(f"failed: {error}", EXIT_FAILED)
    except KeyboardInterrupt:
        _end("interrupted", EXIT_INTERRUPTED)
    sys.exit(0)


def _end(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)
