"""Several processes behind one port: all of them answer, one that dies comes back, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from order_samples import body
from orders.settings import SettingRefused, Settings
from servers import Server, free_port, start
from talking import JSON, encode, new_customer, new_key

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a port between processes")

PATIENCE = 60.0  # seconds: two cores are shared with other tests


def children(server: Server) -> set[int]:
    """The processes that a service has started and that live."""
    text = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text("ascii")
    return {int(pid) for pid in text.split()}


def ended(pid: int) -> bool:
    """Whether a process is gone; one that nobody has waited for is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"it never came to be that {what}"
        time.sleep(0.05)


def answered(server: Server) -> set[int]:
    """The processes that have answered a request."""
    return {int(pid) for pid in re.findall(r" (\d+) INFO twofold\.access ", server.output)}


def all_answer(server: Server, among: int) -> bool:
    """Ask over new connections; whether so many of the living processes have answered by now."""
    for _ in range(20):
        assert httpx.get(f"{server.url}/livez", timeout=PATIENCE).status_code == 200
    return len(answered(server) & children(server)) == among


@pytest.mark.parametrize("views", ["inline", "subscribed"])
def test_a_process_that_dies_comes_back(tmp_path: Path, views: str) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "service.log", processes=2, views=views, lease_seconds=1) as server:
        until("both processes answer", lambda: all_answer(server, 2))
        before = children(server)
        customer = new_customer()
        killed = sorted(before)[0]
        os.kill(killed, signal.SIGKILL)
        token = ""
        for _ in range(20):  # whichever answers, and with the key it is done once
            key = {"Idempotency-Key": new_key()}
            for _ in range(5):
                with suppress(httpx.TransportError):  # it may still have been the one that died
                    sent = encode(body(customerId=customer))
                    created = httpx.post(f"{server.url}/orders", content=sent, headers=JSON | key, timeout=PATIENCE)
                    assert created.status_code == 201, created.text
                    token = created.headers["Consistency-Token"]
                    break
            else:
                pytest.fail("nobody serves")
        until("there are two processes again", lambda: len(children(server)) == 2)
        assert killed not in children(server)
        assert "ended (SIGKILL) and is started again" in server.output
        until("both processes answer", lambda: all_answer(server, 2))
        wait = {"Consistency-Token": token, "Prefer": "wait=30, handling=strict"}
        page = httpx.get(f"{server.url}/customers/{customer}/orders", headers=wait, timeout=PATIENCE)
        assert page.json()["total"] == 20, page.text
        served = children(server)

        began = time.monotonic()
        assert server.stop(PATIENCE) == 0, server.output
        assert time.monotonic() - began < 15, server.output
        assert all(ended(pid) for pid in before | served)
        assert "Traceback" not in server.output


def test_nobody_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "service.log", processes=2) as server:
        until("both processes answer", lambda: all_answer(server, 2))
        served = children(server)
        assert len(served) == 2
        server.kill()
        until("all are gone", lambda: all(ended(pid) for pid in served))


def test_a_stop_comes_to_processes_that_are_just_being_started(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "service.log", processes=3) as server:  # the first is ready, others may not be
        assert server.stop(PATIENCE) == 0, server.output


async def test_what_was_accepted_is_answered_by_each(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "service.log", processes=2, stop_seconds=100) as server:
        await asyncio.to_thread(until, "both processes answer", lambda: all_answer(server, 2))
        customer = new_customer()
        stopped = asyncio.Event()

        async def order() -> int:
            """Create orders over one connection until the service is gone: how many were answered."""
            created = 0
            async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
                with suppress(httpx.TransportError):
                    while True:
                        sent = encode(body(customerId=customer))
                        response = await client.post("/orders", content=sent, headers=JSON | {"Prefer": "wait=0"})
                        assert response.status_code == 201, response.text
                        created += 1
                        if created == 3:
                            stopped.set()
            return created

        clients = asyncio.gather(*(order() for _ in range(8)))
        await stopped.wait()
        server.signal(signal.SIGTERM)
        created = sum(await clients)
        assert await asyncio.to_thread(server.exit_code) == 0
    with start(store, tmp_path / "again.log") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
            stored = (await client.get(f"/customers/{customer}/orders")).json()["total"]
    assert stored == created


def test_what_one_process_refuses_is_refused_by_all(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    file.write_bytes(b"this is no database, and never was" * 100)
    with pytest.raises(AssertionError, match="the service ended with 2") as refusal:
        start(f"sqlite:///{file}", tmp_path / "service.log", processes=2, port=free_port())
    assert "error: " in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(SettingRefused, match="memory serves one process"):
        Settings(store="memory:", processes=2)
    with pytest.raises(SettingRefused, match="1 to 256 processes"):
        Settings(processes=0)
    assert Settings.load(Settings(port=1, view_seconds=0.5).variables()) == Settings(port=1, view_seconds=0.5)
