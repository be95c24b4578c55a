"""The real service in a process of its own: started on a free port, waited for, stopped or killed by its own id.

For tests of what only a process shows: HTTP as a client sees it, signals, crashes, two processes on one file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from twofold.testing import postgres_process

# Where the tests run in the background of a shell script they ignore SIGINT, and so would all that they start. This
# gives the signal its default and becomes the command. Not preexec_fn: that may hang where there are threads.
INTERRUPTIBLE: Sequence[str] = (
    *(sys.executable, "-ISc"),
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)
SERVE: Sequence[str] = (sys.executable, "-m", "orders", "serve")

# Which of the processes that run the tests at once this is (pytest-xdist): one alone is the first of one.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

START_SECONDS = 30.0  # two cores are shared with other tests
STOP_SECONDS = 30.0


class Server:
    """A running service. `url` is its base URL; what it prints goes to the file `log`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT to make it pause, SIGTERM to ask it to stop."""
        self.process.send_signal(number)

    def exit_code(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until it has ended."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Stop it gracefully; its exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code(seconds)

    def kill(self) -> None:
        """Kill it on the spot: it gets no chance to do anything."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        if kind is not None:  # pytest shows it under the failure
            sys.stderr.write(f"--- the log of the service on {self.url} ---\n{self.output}\n")


def start(store: str, log: Path, /, *, port: int = 0, command: Sequence[str] = SERVE, **settings: object) -> Server:
    """Start the service on a store URL and wait until it is ready. Use it with `with`: the block ends it.

    `settings` are those of `orders.settings` (`stop_seconds=2`); `port` is a free one unless given.
    """
    port = port or free_port()
    given = {"store": store, "host": "127.0.0.1", "port": port, **settings}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
    environment = {**inherited, **{f"TWOFOLD_{name.upper()}": str(value) for name, value in given.items()}}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*INTERRUPTIBLE, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_ready(server)
    except BaseException:
        server.kill()
        raise
    return server


def free_port() -> int:
    """A port of the loopback address that nobody listens on just now.

    Each worker has its own, so that no other takes it before the server starts, or while it is started again.
    """
    return postgres_process.free_port(range(10_000 + WORKER, 20_000, WORKERS))


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=server.url) as client:
        while time.monotonic() < deadline:
            if server.process.poll() is not None:
                raise AssertionError(f"the service ended with {server.process.returncode}:\n{server.output}")
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
    raise AssertionError(f"the service was not ready within {START_SECONDS:g} s:\n{server.output}")
