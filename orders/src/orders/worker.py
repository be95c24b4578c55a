"""One of several processes of the service. `orders serve --processes N` starts it; its settings are variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orders.serve import serve_here
from orders.settings import Settings
from twofold.board import BOARD, Board
from twofold.cli.terminal import complain
from twofold.errors import StoreRefused, TwofoldError
from twofold.http.processes import LATE_SECONDS, PROCESS, stop_with_parent


def main() -> int:
    """Serve until told to stop, or until the parent is gone; answers the exit code."""
    settings, process = Settings.load(), os.environ[PROCESS]
    stop_with_parent(settings.stop_seconds + LATE_SECONDS)
    try:
        return serve_here(settings, process, Board(Path(os.environ[BOARD]), process))
    except TwofoldError as error:
        complain(str(error))
        return 2 if isinstance(error, StoreRefused) else 1


if __name__ == "__main__":
    sys.exit(main())
