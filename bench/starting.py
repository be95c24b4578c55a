"""What one waits for before anything is done: the import of the framework, and the service's first answer.

Each start is a process of its own, and a round is the median of several: one start says little, as a disk that was
asked for something else may double it. The files are in the system's cache after the first, on both sides, and the
code is compiled, as an installer leaves it.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvloop

from bench.comparing import Comparison, Place, Side
from orders.app import open_service

START_SECONDS = 60.0
POLL_SECONDS = 0.002
STOP_SECONDS = 20.0
IMPORTING = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
REQUEST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
BARE = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def live(request):
    return JSONResponse({"status": "live"})


application = Starlette(routes=[Route("/livez", live)])
"""


def imports(_place: Place, *, modules: str, starts: int) -> float:
    """Milliseconds of `import MODULES` in a fresh interpreter, without those of the interpreter itself."""

    def one() -> float:
        run = subprocess.run(
            [sys.executable, "-c", IMPORTING.format(modules)], capture_output=True, check=True, env=COMPILED
        )
        return float(run.stdout)

    return statistics.median(one() for _ in range(starts)) * 1000


def service(place: Place, *, starts: int, store: str) -> float:
    """Milliseconds from the start of `orders serve` to its first answer.

    `store`: "new" is a file that is not there yet, "empty" one that has its tables and no events.
    """
    if store == "empty":
        uvloop.run(_make(f"sqlite:///{place.folder / 'orders-0.db'}"))

    def one(number: int) -> float:
        file = place.folder / f"orders-{number if store == 'new' else 0}.db"
        return start_and_stop([sys.executable, "-m", "orders", "serve", "--store", f"sqlite:///{file}"], place.folder)

    return statistics.median(map(one, range(starts))) * 1000


async def _make(url: str) -> None:
    async with open_service(url):
        pass


def bare(place: Place, *, starts: int) -> float:
    """The same of a Starlette application with one route, as granian's manual serves one: with its own command.

    It has uvloop, as we have, and neither an access log nor WebSockets to look after.
    """
    (place.folder / "bare.py").write_text(BARE)
    granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--http", "1", "--no-ws"]
    command = [*granian, "--host", "127.0.0.1", "bare:application"]
    return statistics.median(start_and_stop(command, place.folder) for _ in range(starts)) * 1000


def embedded(place: Place, *, starts: int) -> float:
    """The same, with granian embedded in one process, as `orders serve` has it: the least there can be."""
    (place.folder / "bare.py").write_text(BARE)
    (place.folder / "embedded.py").write_text(EMBEDDED)
    command = [sys.executable, "embedded.py"]
    return statistics.median(start_and_stop(command, place.folder) for _ in range(starts)) * 1000


EMBEDDED = """
import sys
import uvloop
from bare import application
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

port = int(sys.argv[sys.argv.index("--port") + 1])
uvloop.run(Server(application, port=port, interface=Interfaces.ASGI, http=HTTPModes.http1, websockets=False).serve())
"""


def start_and_stop(command: Sequence[str], folder: Path) -> float:
    """Start a server, wait for its first answer, stop it; the seconds that the first answer took."""
    began = time.perf_counter()
    process, _ = start(command, folder)
    seconds = time.perf_counter() - began
    stop(process)
    return seconds


def start(command: Sequence[str], folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server in the folder on a free port, which the command is given; return once it has answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], cwd=folder, env=COMPILED, stdout=log, stderr=log)
    end = time.monotonic() + START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            said = (folder / "server.log").read_text(errors="replace")
            raise RuntimeError(f"{' '.join(command)} does not serve: {said[-2000:]}")
        time.sleep(POLL_SECONDS)
    return process, port


def _answers(port: int) -> bool:
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), START_SECONDS) as connection:
        connection.sendall(REQUEST)
        return connection.recv(12) == b"HTTP/1.1 200"
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and see that it does."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_IMPORTS = 20
_STARTS = 5

COMPARISONS = [
    Comparison(
        "import of twofold",
        Side("twofold", "bench.starting:imports", {"modules": "twofold", "starts": _IMPORTS}),
        Side("asyncio, json", "bench.starting:imports", {"modules": "asyncio, json", "starts": _IMPORTS}),
        target=3,
        unit=" ms",
        less_is_better=True,
    ),
    *(
        Comparison(
            f"start of the service to its first answer, {store} store",
            Side("orders serve", "bench.starting:service", {"starts": _STARTS, "store": store}),
            other,
            target=1.5,
            unit=" ms",
            less_is_better=True,
        )
        for store, other in (
            ("new", Side("granian", "bench.starting:bare", {"starts": _STARTS})),
            ("empty", Side("granian", "bench.starting:bare", {"starts": _STARTS})),
            ("empty", Side("granian, embedded", "bench.starting:embedded", {"starts": _STARTS})),
        )
    ),
]
