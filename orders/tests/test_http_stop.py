"""A graceful stop: what was accepted is answered, nobody can hold it up, and what was answered is there afterwards."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest

from order_samples import body
from servers import Server, start
from talking import JSON, encode, new_customer, written
from twofold.http.serve import HEADER_MILLISECONDS

PATIENCE = 30.0  # seconds: two cores are shared with other tests
LONG = 100  # seconds, longer than any test waits: nothing ends because they are over


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_service_at_rest_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with start(f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "service.log", stop_seconds=LONG) as server:
        server.signal(number)

        assert server.exit_code() == 0
        assert "stopped" in server.output
        assert "Traceback" not in server.output


async def create_until_it_ends(server: Server, customer: str, begun: asyncio.Event) -> tuple[int, int]:
    """Create orders over one connection until the service is gone: how many were answered, how many were cut short.

    The event is set by the first answer.
    """
    address = httpx.URL(server.url)
    request = written("POST", "/orders", encode(body(customerId=customer)), JSON | {"Connection": "keep-alive"})
    created = 0
    reader, writer = await asyncio.open_connection(address.host, address.port)
    answer = b""
    try:
        while True:
            writer.write(request)
            await writer.drain()
            answer = b""
            head = answer = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201 "), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            created += 1
            begun.set()
    except asyncio.IncompleteReadError as end:
        return created, int(bool(answer or end.partial))
    except ConnectionError:
        return created, 0
    finally:
        writer.close()


async def stop_under_load(server: Server, customer: str) -> list[tuple[int, int]]:
    """What each of many clients saw of a service that was told to stop while they were at it."""
    begun = [asyncio.Event() for _ in range(30)]
    clients = asyncio.gather(*(create_until_it_ends(server, customer, event) for event in begun))
    async with asyncio.timeout(PATIENCE):
        for event in begun:
            await event.wait()
        server.signal(signal.SIGTERM)
        return await clients


def test_a_stop_under_load_answers_what_it_accepted(tmp_path: Path) -> None:
    store, customer = f"sqlite:///{tmp_path / 'orders.db'}", new_customer()
    with start(store, tmp_path / "service.log", stop_seconds=LONG) as server:
        ended = asyncio.run(stop_under_load(server, customer))

        assert server.exit_code() == 0
        assert "Traceback" not in server.output
    answered = sum(created for created, _ in ended)
    assert answered >= 30
    assert sum(cut for _, cut in ended) == 0  # no answer broke off in the middle
    with start(store, tmp_path / "again.log") as server, httpx.Client(base_url=server.url) as http:
        stored = http.get(f"/customers/{customer}/orders").json()["total"]
    assert stored == answered  # none was lost, and none taken without an answer


async def test_connections_that_rest_hold_nothing_up(tmp_path: Path) -> None:
    with start("memory:", tmp_path / "service.log", stop_seconds=LONG) as server:
        address = httpx.URL(server.url)
        silent = [await asyncio.open_connection(address.host, address.port) for _ in range(10)]
        kept = [await asyncio.open_connection(address.host, address.port) for _ in range(10)]
        for reader, writer in kept:
            writer.write(written("GET", "/livez", headers={"Connection": "keep-alive"}))
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        server.signal(signal.SIGTERM)

        code = await asyncio.to_thread(
            server.exit_code, HEADER_MILLISECONDS / 1000 - 1
        )  # before their own time is over

        assert code == 0, server.output
        for _, writer in (*silent, *kept):
            writer.close()


async def stall(server: Server) -> asyncio.StreamWriter:
    """A client whose request was accepted, and is never whole."""
    address = httpx.URL(server.url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(written("POST", "/orders", headers=JSON | {"Content-Length": "500"}) + b'{"customerId":')
    await writer.drain()
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/livez")).status_code == 200  # it came later, so the stalled one has been accepted
    return writer


async def until_nobody_is_accepted(server: Server) -> None:
    """Return when the service accepts no connection any more."""
    address = httpx.URL(server.url)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection(address.host, address.port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_a_client_that_stalls_is_broken_off_in_time(tmp_path: Path) -> None:
    with start(f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "service.log", stop_seconds=1) as server:
        writer = await stall(server)
        server.signal(signal.SIGTERM)
        began = time.monotonic()

        code = await asyncio.to_thread(server.exit_code)

        assert time.monotonic() - began >= 1
        assert code == 1  # it says that it broke something off
        assert "broken off" in server.output
        writer.close()


async def test_nobody_is_accepted_any_more_once_it_stops(tmp_path: Path) -> None:
    with start("memory:", tmp_path / "service.log", stop_seconds=LONG) as server:
        writer = await stall(server)
        server.signal(signal.SIGTERM)
        await until_nobody_is_accepted(server)

        assert server.process.poll() is None  # it still waits for the one that it accepted
        writer.close()
        assert await asyncio.to_thread(server.exit_code) == 0  # who goes away is not broken off
