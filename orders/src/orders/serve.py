"""The running service: the store opened, the application served, and a stop that finishes what was accepted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import sys

import msgspec
import uvloop

from orders.app import open_service
from orders.asgi import application
from orders.live import LiveOrders
from orders.operators import operators
from orders.settings import GARBAGE, LogFormat, SettingRefused, Settings
from twofold.board import BOARD, Board, made_board
from twofold.http import processes
from twofold.http.serve import serve as serve_application
from twofold.logs import log_to_stderr
from twofold.store import Progress
from twofold.views import View

log = logging.getLogger("orders")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code: 0 after a graceful stop, 1 if requests were broken off."""
    if settings.processes == 1:
        return serve_here(settings)
    if not processes.supported():
        raise SettingRefused("only Linux shares a port between processes: set processes to 1")
    log_to_stderr(as_json=settings.log is LogFormat.JSON)
    with processes.reserved_port(settings.host, settings.port) as port, made_board() as board:
        secret = settings.console_secret or secrets.token_urlsafe(32)  # a session is one in all of them
        each = msgspec.structs.replace(settings, port=port, console_secret=secret)
        command = (sys.executable, "-m", "orders.worker")
        environment = {**os.environ, **each.variables(), BOARD: str(board)}
        log.info("serving with %d processes on port %d", settings.processes, port)
        return asyncio.run(
            processes.supervise(command, environment, processes=settings.processes, stop_seconds=settings.stop_seconds)
        )


def serve_here(settings: Settings, process: str = "1", board: Board | None = None) -> int:
    """Serve in this process, whatever the settings say of others; see `serve`.

    In the metrics it has this name, and tells those of all that share the board.
    """
    log_to_stderr(as_json=settings.log is LogFormat.JSON)
    return uvloop.run(_serve(settings, process, board))


async def _serve(settings: Settings, process: str, board: Board | None) -> int:
    opening = open_service(
        settings.store,
        lifecycle=settings.views,
        command_seconds=settings.command_seconds,
        lease_seconds=settings.lease_seconds,
        process=process,
        board=board,
        on_progress=_log_progress,
    )
    async with opening as service:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        log.info("serving %s on http://%s:%d", _without_password(settings.store), host, settings.port)
        # What was made at start-up lives to the end: keep the garbage collector from looking at it again and again.
        gc.freeze()
        gc.set_threshold(GARBAGE)
        live, console = LiveOrders(service), operators(service, settings)

        def end_streams() -> None:
            live.close()
            console.close()

        finished = await serve_application(
            application(service, settings, live, console),
            host=settings.host,
            port=settings.port,
            stop_seconds=settings.stop_seconds,
            json_log=settings.log is LogFormat.JSON,
            on_stop=end_streams,
        )
    log.info("stopped")
    return 0 if finished else 1


def _without_password(url: str) -> str:
    """The URL of a store, as a log may have it."""
    return re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", re.sub(r"([?&]password=)[^&]*", r"\1***", url))


def _log_progress(view: View, progress: Progress) -> None:
    """A start that takes long says why: a view that is new, or has missed events, is being caught up."""
    if progress.position < progress.head:
        log.info("%s is caught up to %d of %d", view.name, progress.position, progress.head)
