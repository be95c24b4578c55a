"""One of several processes of the service. `orders serve --processes N` starts it; its settings are variables."""

from __future__ import annotations

import os
import sys

from orders.serve import serve_here
from orders.settings import Settings
from twofold.cli.terminal import complain
from twofold.errors import StoreRefused, TwofoldError
from twofold.http.processes import LATE_SECONDS, PROCESS, stop_with_parent


def main() -> int:
    """Serve until told to stop, or until the parent is gone; answers the exit code."""
    settings = Settings.load()
    stop_with_parent(settings.stop_seconds + LATE_SECONDS)
    try:
        return serve_here(settings, os.environ[PROCESS])
    except TwofoldError as error:
        complain(str(error))
        return 2 if isinstance(error, StoreRefused) else 1


if __name__ == "__main__":
    sys.exit(main())
