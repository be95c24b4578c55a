"""The running service: the store opened, the application served, and a stop that finishes what was accepted."""

from __future__ import annotations

import gc
import logging
import sys

import uvloop

from orders.app import open_service
from orders.asgi import application
from orders.settings import Settings
from twofold.http.serve import serve as serve_application
from twofold.store import Progress
from twofold.views import View

log = logging.getLogger("orders")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code: 0 after a graceful stop, 1 if requests were broken off."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    opening = open_service(settings.store, command_seconds=settings.command_seconds, on_progress=_log_progress)
    async with opening as service:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        log.info("serving %s on http://%s:%d", settings.store, host, settings.port)
        # What was made at start-up lives to the end: keep the garbage collector from looking at it again and again.
        gc.collect()
        gc.freeze()
        finished = await serve_application(
            application(service, settings),
            host=settings.host,
            port=settings.port,
            stop_seconds=settings.stop_seconds,
        )
    log.info("stopped")
    return 0 if finished else 1


def _log_progress(view: View, progress: Progress) -> None:
    """A start that takes long says why: a view that is new, or has missed events, is being caught up."""
    if progress.position < progress.head:
        log.info("%s is caught up to %d of %d", view.name, progress.position, progress.head)
