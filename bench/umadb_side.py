"""UmaDB's side: its server out of its wheel, with its own settings, and its client in a thread for each writer.

UmaDB commits together what waits together, as Twofold does, and syncs before it answers. Its server is a process of
its own: it may use every core, while the client, like all sides, is kept to one.
"""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

from bench.comparing import Place, Unavailable
from bench.library import DATA

START_SECONDS = 20.0


def append(place: Place, *, writers: int, events: int) -> float:
    """Events a second, each appended on the condition that its stream, which is a tag here, is new."""
    umadb: Any = importlib.import_module("umadb")
    with _server(place.folder) as url:
        client = _connected(umadb, url)  # one for all threads: quicker than one each

        def one(count: int) -> None:
            for _ in range(count):
                id = uuid7()
                tag = f"order-{id}"
                new = umadb.AppendCondition(umadb.Query([umadb.QueryItem(tags=[tag])]))
                client.append([umadb.Event("OrderCreated", DATA, [tag], id)], new)

        def all_of(count: int) -> None:
            for done in [pool.submit(one, count // writers) for _ in range(writers)]:
                done.result()

        with ThreadPoolExecutor(writers) as pool:
            all_of(events // 10)  # warms up
            began = time.perf_counter()
            all_of(events)
            return events // writers * writers / (time.perf_counter() - began)


@contextmanager
def _server(folder: Path) -> Generator[str]:
    program = shutil.which("umadb", path=str(Path(sys.executable).parent)) or shutil.which("umadb")
    if program is None:
        raise Unavailable("the program umadb is not on the path")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # what it starts takes this over
    try:
        process = subprocess.Popen(
            [program, "--listen", f"127.0.0.1:{port}", "--db-path", str(folder / "uma.db")], stdout=subprocess.DEVNULL
        )
    finally:
        os.sched_setaffinity(0, cores)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _connected(umadb: Any, url: str) -> Any:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            client = umadb.Client(url)
            client.head()
        except Exception:  # its errors are of several kinds while it starts
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return client
