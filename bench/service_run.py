"""One round of the HTTP benchmark: a server of our own on a free port of loopback, asked by wrk until its time is over.

The server has the core that the frame pins sides to, wrk has the others, so that the one who asks takes nothing from
the one who answers. All that belongs to a server is on its core: node's threads that collect garbage and compile, our
threads for sockets and for writing.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.comparing import Place, Unavailable

WARM_UP_SECONDS = 1
SECONDS = 4
PATCHES_OF_AN_ORDER = 3  # confirmed, shipped, delivered
PATCH_MARGIN = 3  # so many times the orders that the pace of the warm-up asks for: it may become faster
MOST_FAILED = 0.001
START_SECONDS = 20.0

EXPRESS = Path(__file__).parent / "express"
SCRIPTS = Path(__file__).parent / "wrk"
NPM_INSTALL = ("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    rate: float
    p99: float  # in milliseconds


# --- the sides --------------------------------------------------------------------------------------------------------


def ours(place: Place, *, work: str, processes: int = 1, **options: int) -> float:
    """The order service with its default settings: synced before it answers, with an access log, here into a file."""
    store = place.postgres or f"sqlite:///{place.folder / 'orders.db'}"
    port = _free_port()
    command = [sys.executable, "-m", "orders", "serve", "--port", str(port), "--store", store]
    if processes > 1:
        command += ["--processes", str(processes)]
        _widen()  # two processes on one core would have nothing of each other
    with _serving(place.folder, port, command, os.environ):
        return _work(place.folder, port, work, **options)


def express(place: Place, *, work: str, **options: int) -> float:
    """The Express app, which keeps all in memory: as in production, and without a log of requests."""
    node = _program("node")
    if not (EXPRESS / "node_modules").is_dir():
        subprocess.run((_program("npm"), *NPM_INSTALL[1:]), cwd=EXPRESS, check=True, stdout=sys.stderr)
    port = _free_port()
    environment = {**os.environ, "NODE_ENV": "production", "PORT": str(port)}
    with _serving(place.folder, port, [node, str(EXPRESS / "server.js")], environment):
        return _work(place.folder, port, work, **options)


# --- the work ---------------------------------------------------------------------------------------------------------


def _work(folder: Path, port: int, work: str, *, connections: int, orders: int = 0) -> float:
    """A rate, or the 99th percentile in milliseconds."""

    def load(script: str, seconds: int, *arguments: Path, path: str = "/") -> Load:
        """One thread of wrk asks: it is faster than any of the servers, and the script can count what it sent."""
        return _wrk(
            *(f"-c{connections}", f"-d{seconds}s", "-s", f"{script}.lua", f"http://127.0.0.1:{port}{path}"),
            *("--", *map(str, arguments)),
        )

    ids = folder / "ids"
    match work:
        case "post" | "post_p99":
            load("post", WARM_UP_SECONDS)
            measured = load("post", SECONDS)
            return measured.p99 if work == "post_p99" else measured.rate
        case "patch":
            load("post", 2, ids)
            rate = load("patch", WARM_UP_SECONDS, ids).rate
            created: list[str] = []
            while len(created) < PATCH_MARGIN * rate * SECONDS / PATCHES_OF_AN_ORDER:
                load("post", 2, ids)
                created += ids.read_text().splitlines(keepends=True)
            ids.write_text("".join(created))
            return load("patch", SECONDS, ids).rate
        case "get":
            load("post", 1, ids)
            load("get", WARM_UP_SECONDS, ids)
            return load("get", SECONDS, ids).rate
        case "page":
            _create(port, "customer", orders)
            path = "/customers/customer/orders?page=1&limit=20"
            load("page", WARM_UP_SECONDS, path=path)
            return load("page", SECONDS, path=path).rate
        case _:
            raise ValueError(f"there is no work {work}")


def _create(port: int, customer: str, orders: int) -> None:
    """So many orders of one customer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    address = {"street": "Taucherstraße 10", "city": "Cunewalde", "postalCode": "01307", "country": "Germany"}
    for number in range(orders):
        items = [
            {"productId": f"nw-{index}", "productName": "Côte de Blaye", "quantity": number % 40 + 1, "price": 263.5}
            for index in range(number % 3 + 1)
        ]
        body = json.dumps({"customerId": customer, "items": items, "shippingAddress": address})
        connection.request("POST", "/orders", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != http.client.CREATED:
            raise RuntimeError(f"an order was answered by {answer.status}: {said.decode()}")
    connection.close()


def _wrk(*arguments: str) -> Load:
    command = (_program("wrk"), "-t1", "--timeout", "10s", *arguments)
    ran = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"wrk failed: {ran.stdout}{ran.stderr}")
    report = json.loads(ran.stdout.splitlines()[-1])
    if report["requests"] == 0 or report["failed"] > MOST_FAILED * report["requests"]:
        raise RuntimeError(f"{report['failed']} of {report['requests']} requests failed: {' '.join(arguments)}")
    return Load(report["requests"] / report["seconds"], report["p99"])


# --- processes --------------------------------------------------------------------------------------------------------


@contextmanager
def _serving(folder: Path, port: int, command: Sequence[str], environment: Mapping[str, str]) -> Generator[None]:
    """The server, ready; its output goes to a file."""
    _program("wrk")  # before anything takes time
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, port, log)
        _leave_the_core()
        yield
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/dashboard")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.02)
        finally:
            connection.close()
    raise RuntimeError(f"{process.args!r} does not answer: {log.read_text(errors='replace')[-2000:]}")


def _widen() -> None:
    """Whatever cores the frame may have, and so what this process starts."""
    if "BENCH_CORE" in os.environ:
        os.sched_setaffinity(0, os.sched_getaffinity(os.getppid()))


def _leave_the_core() -> None:
    """From here on this process, and wrk with it, has the cores that the server has not."""
    if "BENCH_CORE" in os.environ:
        others = os.sched_getaffinity(os.getppid()) - {int(os.environ["BENCH_CORE"])}
        if others:
            os.sched_setaffinity(0, others)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed; on Debian: apt-get install {'nodejs' if name == 'node' else name}")
    return found
