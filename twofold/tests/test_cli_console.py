"""The commands `twofold console` and `twofold console hash-password`, as processes, on a store of any application."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from uuid_utils.compat import uuid7

from twofold import Metadata, NewEvent
from twofold.connect import connect

TWOFOLD = (sys.executable, "-m", "twofold", "console")
SECONDS = 30.0  # two cores are shared with other tests


def command(*arguments: str, given: str = "") -> tuple[int, str, str]:
    """Run a command to its end: its exit code, what it printed, what it complained."""
    done = subprocess.run([*TWOFOLD, *arguments], input=given, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@contextmanager
def served(*arguments: str) -> Generator[httpx.Client]:
    """A console that is served meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*TWOFOLD, "--port", str(port), *arguments], stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            deadline = time.monotonic() + SECONDS
            while True:
                try:
                    client.get("/livez")
                    break
                except httpx.TransportError:
                    assert process.poll() is None, process.communicate()[1].decode()
                    assert time.monotonic() < deadline, "the console does not answer"
                    time.sleep(0.05)
            yield client
        process.terminate()
        process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A store of an application whose code is not here."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    events = [
        NewEvent(id=uuid7(), type="Counted", schema=1, data=data, metadata=Metadata.new(actor="ann"))
        for data in (b'{"amount": 12345678901234567890.5}', b"not JSON <b>")
    ]
    async with connect(url) as store:
        await store.append("counter-a", events, expected=0)
    return url


def test_an_application_that_is_named_is_known(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small_shop.py").write_text('from twofold.model import Model\n\nMODEL = Model("The small shop")\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TWOFOLD_APP", "small_shop:MODEL")
    with served("--store", url) as client:
        page = client.get("/console/model").text
    assert "The small shop" in page
    assert "Without the application's code" not in page


def test_any_store_is_looked_at_without_its_code(url: str) -> None:
    with served("--store", url) as client:
        assert client.get("/", follow_redirects=True).url.path == "/console"
        pages = {
            "": "Head of the log",
            "/streams": "counter-a",
            "/stream?name=counter-a": "No code here folds this category",
            "/stream?name=counter-a&at=1": "12345678901234567890.5",
            "/stream?name=counter-a&show=rows": "No view here keeps a row",
            "/event?position=2": "not JSON &lt;b&gt;",
            "/live": "Counted",
            "/projections": "No projection was ever started",
            "/parked": "Nothing is parked",
            "/commands": "the code of the application is not here",
            "/model": "Without the application's code",
        }
        for path, text in pages.items():
            page = client.get(f"/console{path}")
            assert page.status_code == 200, (path, page.text)
            assert text.lower() in page.text.lower(), path


def test_where_others_can_reach_it_it_needs_logins(url: str, tmp_path: Path) -> None:
    code, _, told = command("--store", url, "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it is refused
    assert (code, "give a file of logins" in told) == (2, True)
    code, line, _ = command("hash-password", "ann", "--role", "see", given="a long password\n")
    assert (code, line.split()[:2], "password" in line) == (0, ["ann", "see"], False)
    logins = tmp_path / "logins"
    logins.write_text(line)
    with served("--store", url, "--logins", str(logins)) as client:
        assert client.get("/console").status_code == 303
        assert client.get("/console/streams").headers["location"] == "/console/login?next=%2Fconsole%2Fstreams"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "say which store"),
        (["--store", "sqlite:///none.db"], "there is no store"),
        (["hash-password", "a/b"], "a name has 1 to 100"),
        (["hash-password", "ann", "--role", "all"], "a role is one of see, payloads, operate"),
        (["--store", "memory:", "--logins", "none"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(arguments: list[str], expected: str) -> None:
    code, _, told = command(*arguments, given="secret\n")
    assert code in (1, 2)
    assert expected in told


def test_a_port_that_is_taken_is_not_shared_in_silence(url: str) -> None:
    with served("--store", url) as client:
        port = str(client.base_url.port)
        code, _, told = command("--store", url, "--port", port)
    assert code == 2
    assert f"error: cannot listen on 127.0.0.1, port {port}: Address already in use" in told


def test_a_password_is_not_empty() -> None:
    assert command("hash-password", "ann")[0] == 2
