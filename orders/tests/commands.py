"""What the tests of the commands share: real processes, files to import, a service to import into."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from orders.cli import main
from servers import INTERRUPTIBLE

ORDERS = (sys.executable, "-m", "orders")
WIDE = {"COLUMNS": "200", "PATH": os.environ["PATH"]}  # nothing of the developer's own TWOFOLD_* variables


def command(*arguments: str, cwd: Path | None = None, text: str = "", **environment: str) -> tuple[int, str, str]:
    """Run a command to its end: its exit code, what it printed, what it complained."""
    done = subprocess.run(
        [*ORDERS, *arguments],
        cwd=cwd,
        env={**WIDE, **environment},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def refused(capsys: pytest.CaptureFixture[str], cwd: Path, *arguments: str, **environment: str) -> tuple[str, str]:
    """What a wrong usage prints and complains; run in this process, where that is all that matters, and quick."""
    with (
        patch.object(sys, "argv", ["orders", *arguments]),
        patch.dict(os.environ, {**WIDE, **environment}, clear=True),
        chdir(cwd),
        pytest.raises(SystemExit) as left,
    ):
        main()
    assert left.value.code == 2
    printed, complained = capsys.readouterr()
    return printed, complained


@contextmanager
def started(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """A command that runs meanwhile; it is killed at the end if it still does."""
    with subprocess.Popen(
        [*INTERRUPTIBLE, *ORDERS, *arguments],
        env=WIDE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of an output, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def line(number: int, *, price: str = "9.80", ships: bool = True) -> str:
    """A line of a file to import."""
    order = (
        f'{{"customerId": "customer-{number}", "items": [{{"productId": "p", "quantity": 3, "price": {price}}}],'
        f' "shippingAddress": "Road {number}"}}'
    )
    return f'{{"placed": "1996-07-04", "ships": {str(ships).lower()}, "order": {order}}}'


def file_of(path: Path, lines: Sequence[str]) -> str:
    """A file with these lines."""
    path.write_text("".join(f"{text}\n" for text in lines), "utf-8")
    return str(path)


@contextmanager
def serving(store: str, port: int) -> Generator[subprocess.Popen[bytes]]:
    """The service on this port, ready; it is told to stop at the end."""
    process = subprocess.Popen(
        [*INTERRUPTIBLE, *ORDERS, "serve", "--port", str(port), "--store", store],
        env=WIDE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(process, port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, "the service has ended"
        assert time.monotonic() < deadline, "the service is not ready"
        time.sleep(0.05)
