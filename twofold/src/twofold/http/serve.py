"""An ASGI application served by granian on one event loop, until the process is told to stop.

The server runs embedded in our own loop, in one process: nothing is left behind when that process is killed, and a
stop is graceful: the socket is closed first, then what was accepted is answered, then the application closes its store.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

log = logging.getLogger("twofold.http")

HEADER_MILLISECONDS = 10_000  # how long a client may take to send a request's head
HEADER_BYTES = 65_536  # of a request's head
# Without the path: it names people, and an escaped line break in it would forge a line.
ACCESS_FORMAT = "%(time)s %(addr)s %(method)s %(status)d %(dt_ms).1f ms"


async def serve(application: Any, *, host: str, port: int, stop_seconds: float, access_log: bool = True) -> bool:
    """Serve until SIGTERM or SIGINT. False if requests were still running when `stop_seconds` had passed."""
    server = Server(
        application,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=HEADER_BYTES),
        log_enabled=False,
        log_access=access_log,
        log_access_format=ACCESS_FORMAT,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    server.stop()  # type: ignore[no-untyped-call]  # granian has no annotation there
    await asyncio.wait({serving}, timeout=stop_seconds)
    if not serving.done():
        log.error("requests were still running after %g s; they are broken off", stop_seconds)
        return False
    serving.result()
    return True
