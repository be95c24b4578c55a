"""An ASGI application served by granian on one event loop, until the process is told to stop.

The server runs embedded in our own loop, in one process: nothing is left behind when that process is killed, and a
stop is graceful: the socket is closed first, then what was accepted is answered, then the application closes its store.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from ipaddress import ip_address
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from twofold.http.access import AccessLog

log = logging.getLogger("twofold.http")

HEADER_MILLISECONDS = 10_000  # how long a client may take to send a request's head
HEADER_BYTES = 65_536  # of a request's head
# The server's logger writes where the application's do.
LOGGERS: Mapping[str, object] = {"_granian": {"level": "INFO", "handlers": [], "propagate": True}}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def serve(
    application: Any,
    *,
    host: str,
    port: int,
    stop_seconds: float,
    access_log: bool = True,
    json_log: bool = False,
    on_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Serve until SIGTERM or SIGINT, then answer what was accepted; `on_stop` ends what would not end by itself.

    False if requests were still running when `stop_seconds` had passed, or when the signal came a second time.
    """
    access = AccessLog(application, sys.stderr, as_json=json_log) if access_log else None
    server = Server(
        access or application,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=HEADER_BYTES),
        log_enabled=False,
        log_dictconfig={"loggers": LOGGERS},
    )
    stopping, hurrying = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hurrying if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve())
    await _first(serving, stopping.wait())
    on_stop()
    server.stop()  # type: ignore[no-untyped-call]  # granian has no annotation there
    await _first(serving, hurrying.wait(), timeout=stop_seconds)
    if access is not None:
        access.flush()
    if not serving.done():
        log.error("requests that were still running are broken off")
        return False
    serving.result()
    return True


async def _first(
    serving: asyncio.Task[None], signalled: Coroutine[Any, Any, Any], timeout: float | None = None
) -> None:
    """Return when the server has ended, the signal has come, or the time is over."""
    waiting = asyncio.create_task(signalled)
    await asyncio.wait({serving, waiting}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
