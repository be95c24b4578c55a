"""Live queries: what is sent first, each change once and in order, resumed where it broke off, ended in time."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

import orders.live
from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.details import details
from orders.live import LiveOrders
from orders.requests import create_order, update_status
from orders.settings import Lifecycle, Settings
from servers import Server, free_port, start
from talking import JSON, encode, new_customer, new_key, problem, written
from twofold.claims import Claims
from twofold.http import streams
from twofold.http.problems import Problem
from twofold.http.streams import Streams
from twofold.views import identity
from twofold.watermarks import Token

PATIENCE = 60.0  # seconds: two cores are shared with other tests
STREAM = {"Accept": "text/event-stream"}


class Sent(NamedTuple):
    """An event of a stream."""

    id: int
    event: str
    data: dict[str, Any]


def parsed(block: str) -> Sent | None:
    """An event as it is written; None for a comment, or a hint."""
    lines = (line.partition(": ") for line in block.splitlines())
    fields = {name: value for name, _, value in lines}
    return Sent(int(fields["id"]), fields["event"], json.loads(fields["data"])) if "data" in fields else None


# --- without a server: deterministic, on every store ------------------------------------------------------------------


class Listener:
    """A client of the application in this process: reads when the test says so."""

    def __init__(self, app: Any, path: str, headers: Mapping[str, str]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        self._chunks: asyncio.Queue[str] = asyncio.Queue(maxsize=1)  # as small as a client's buffers can be
        self._left = asyncio.Event()
        target = urlsplit(path)
        scope = {
            "type": "http",
            "method": "GET",
            "path": target.path,
            "query_string": target.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Mapping[str, object]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["body"]:
            await self._chunks.put(message["body"].decode())
        if not message.get("more_body", True):
            self.ended = True

    def leave(self) -> None:
        """Break off."""
        self._left.set()

    async def block(self) -> str:
        """The next that comes."""
        async with asyncio.timeout(PATIENCE):
            return await self._chunks.get()

    async def events(self, count: int) -> list[Sent]:
        """The next events."""
        found: list[Sent] = []
        while len(found) < count:
            event = parsed(await self.block())
            if event is not None:
                found.append(event)
        return found

    async def silent(self) -> bool:
        """Whether nothing but hints comes for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while parsed(await self._chunks.get()) is None:
                    pass
                return False
        return True


@asynccontextmanager
async def listening(
    service: OrderService, path: str, after: int | None = None, *, live: LiveOrders | None = None
) -> AsyncGenerator[Listener]:
    """A client that listens to a path."""
    headers = STREAM | ({} if after is None else {"Last-Event-ID": str(after)})
    listener = Listener(application(service, Settings(), live), path, headers)
    try:
        yield listener
    finally:
        listener.leave()
        async with asyncio.timeout(PATIENCE):
            await listener.task


@pytest.fixture(params=Lifecycle)
async def running(request: pytest.FixtureRequest, url: str) -> AsyncGenerator[OrderService]:
    """The service, with either kind of views."""
    async with open_service(url, lifecycle=request.param) as opened:
        yield opened


async def create(service: OrderService, order_id: str, customer: str, **changes: object) -> int:
    """Create an order; its event's position."""
    command = create_order(order_id, body(customerId=customer, **changes), "USD")
    return (await service.commands.execute(command)).position


async def bring(service: OrderService, order_id: str, *statuses: str) -> int:
    """Lead an order on; the last position."""
    position = 0
    for status in statuses:
        position = (await service.commands.execute(update_status(order_id, {"status": status}))).position
    return position


async def test_an_order_is_sent_as_it_is_and_then_each_change(running: OrderService) -> None:
    await create(running, "one", "ALFKI")
    at = await bring(running, "one", "confirmed")
    async with listening(running, "/orders/one") as listener:
        (now,) = await listener.events(1)
        assert listener.status == 200
        assert listener.headers["content-type"] == "text/event-stream"
        assert listener.headers["cache-control"] == "no-store"
        assert listener.headers["x-accel-buffering"] == "no"
        assert (now.id, now.event, now.data["version"]) == (at, "order", 2)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application(running, Settings())), base_url="http://test"
        ) as http:
            stored = await http.get("/orders/one", headers={"Consistency-Token": await token(running, at)})
            assert stored.json() == now.data
        await create(running, "two", "ALFKI")
        last = await bring(running, "one", "shipped", "delivered")
        shipped, delivered = await listener.events(2)
        assert [shipped.data["status"], delivered.data["status"]] == ["shipped", "delivered"]
        assert delivered.id == last > shipped.id > at
        assert await listener.silent()


async def token(service: OrderService, position: int) -> str:
    """The token of a position."""
    return Token(service.store.id, position).text()


async def test_an_order_goes_on_behind_the_last_event_id(running: OrderService) -> None:
    first = await create(running, "one", "ALFKI")
    await bring(running, "one", "confirmed", "shipped")
    async with listening(running, "/orders/one", after=first) as listener:
        assert [event.data["status"] for event in await listener.events(2)] == ["confirmed", "shipped"]
        last = await bring(running, "one", "delivered")
        assert (await listener.events(1))[0].id == last
    async with listening(running, "/orders/one", after=last) as listener:
        assert await listener.silent()
    async with listening(running, "/orders/one", after=last + 1000) as listener:  # of a log that came to more
        assert (await listener.events(1))[0].id == last


async def test_the_newest_orders_are_sent_also_where_one_part_of_the_view_is_behind_the_others(
    running: OrderService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await create(running, f"order {number}", "ALFKI")

    async def behind(_names: object, position: int) -> int:
        return position  # as the part would say that has taken nothing yet

    monkeypatch.setattr(running.watermarks, "behind", behind)
    async with listening(running, "/customers/ALFKI/orders?limit=3") as listener:
        sent = await listener.events(3)
        assert [event.data["orderId"] for event in sent] == ["order 2", "order 3", "order 4"]


async def test_a_customer_is_sent_the_newest_orders_and_then_each_change(running: OrderService) -> None:
    for number in range(5):
        await create(running, f"order {number}", "ALFKI")
        await create(running, f"other {number}", "BLAUS")
    changed = await bring(running, "order 2", "confirmed")
    await bring(running, "order 0", "confirmed")
    async with listening(running, "/customers/ALFKI/orders?limit=3") as listener:
        sent = await listener.events(3)
        assert [event.data["orderId"] for event in sent] == ["order 3", "order 4", "order 2"]
        assert sent[-1].id == changed
        assert [event.id for event in sent] == sorted(event.id for event in sent)
        await bring(running, "other 1", "confirmed")
        await bring(running, "order 0", "shipped")  # an older one
        await create(running, "order 5", "ALFKI")
        sent = await listener.events(2)
        assert [(event.data["orderId"], event.data["version"]) for event in sent] == [("order 0", 3), ("order 5", 1)]
        assert await listener.silent()


async def test_a_customer_goes_on_behind_the_last_event_id(running: OrderService) -> None:
    positions = [await create(running, f"order {number}", "ALFKI") for number in range(5)]
    positions += [await bring(running, f"order {number}", "confirmed") for number in (3, 1, 3 - 1)]
    positions += [await bring(running, "order 3", "shipped")]
    for after in (0, *positions):
        async with listening(running, "/customers/ALFKI/orders", after=after) as listener:
            expected = [position for position in positions if position > after]
            assert [event.id for event in await listener.events(len(expected))] == expected
            assert await listener.silent()


async def test_views_that_stand_still_hold_no_stream_up(url: str) -> None:
    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED) as service:
        positions = [await create(service, f"order {number}", "ALFKI") for number in range(3)]
        await service.watermarks.wait([details.name], positions[-1], PATIENCE)
        assert await service.store.work(partial(Claims(service.store.dialect).pause, identity(details), "a test"))
        positions += [await bring(service, "order 0", "confirmed"), await create(service, "order 3", "ALFKI")]
        async with listening(service, "/customers/ALFKI/orders") as listener:
            sent = await listener.events(4)
            assert [event.data["orderId"] for event in sent] == ["order 1", "order 2", "order 0", "order 3"]
            positions.append(await bring(service, "order 2", "confirmed"))
            assert [event.id for event in await listener.events(1)] == positions[-1:]
        for after in (0, *positions[:-1]):
            async with listening(service, "/customers/ALFKI/orders", after=after) as listener:
                expected = [position for position in positions if position > after]
                assert [event.id for event in await listener.events(len(expected))] == expected


async def test_what_a_view_has_parked_is_sent_all_the_same(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evolve, broken = type(details.projection).evolve, True

    def raising(self: Any, view: Any, recorded: Any) -> Any:
        if broken and recorded.stream == "order-order 1":
            raise RuntimeError("this one cannot be folded")
        return evolve(self, view, recorded)

    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED) as service:
        positions = [await create(service, f"order {number}", "ALFKI") for number in range(3)]
        await service.watermarks.wait([details.name], positions[-1], PATIENCE)
        monkeypatch.setattr(type(details.projection), "evolve", raising)
        positions.append(await bring(service, "order 1", "confirmed"))
        positions.append(await bring(service, "order 2", "confirmed"))
        assert await service.watermarks.wait([details.name], positions[-1], PATIENCE) == 0
        broken = False
        async with listening(service, "/customers/ALFKI/orders", after=positions[2]) as listener:
            assert [event.id for event in await listener.events(2)] == positions[3:]


@pytest.mark.parametrize("path", ["/orders/one", "/customers/ALFKI/orders"])
async def test_a_silent_stream_has_a_heartbeat(
    service: OrderService, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders.live, "HEARTBEAT_SECONDS", 0.05)
    await create(service, "one", "ALFKI")
    async with listening(service, path) as listener:
        assert await listener.block() == "retry: 1000\n\n"
        assert parsed(await listener.block())
        assert [await listener.block() for _ in range(3)] == [":\n\n"] * 3


async def test_who_does_not_read_is_dropped(service: OrderService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.2)
    await create(service, "one", "ALFKI")
    live_orders = LiveOrders(service)
    async with (
        listening(service, "/orders/one", live=live_orders) as slow,
        listening(service, "/orders/one", live=live_orders) as quick,
    ):
        assert len(await quick.events(1)) == 1
        async with asyncio.timeout(PATIENCE):
            await slow.task
        await bring(service, "one", "confirmed")
        assert (await quick.events(1))[0].data["version"] == 2


async def test_the_end_of_the_service_ends_its_streams(service: OrderService) -> None:
    await create(service, "one", "ALFKI")
    live_orders = LiveOrders(service)
    async with (
        listening(service, "/orders/one", live=live_orders) as reading,
        listening(service, "/customers/ALFKI/orders", live=live_orders) as stuck,
    ):
        await reading.events(1)
        live_orders.close()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(reading.task, stuck.task)
        assert reading.ended
        async with listening(service, "/orders/one", live=live_orders) as late:
            async with asyncio.timeout(PATIENCE):
                await late.block()
            assert late.status == 503


async def test_there_is_a_bound_to_the_streams() -> None:
    bounded = Streams(limit=2)

    async def opened(_stack: AsyncExitStack) -> AsyncGenerator[bytes]:
        async def frames() -> AsyncGenerator[bytes]:
            yield b":\n\n"

        return frames()

    async def refused(_stack: AsyncExitStack) -> AsyncGenerator[bytes]:
        raise Problem(404, "not-there", "Not there")

    for _ in range(5):  # those that are not opened do not count
        with pytest.raises(Problem, match="Not there"):
            await bounded.response(refused)
    answers = [await bounded.response(opened) for _ in range(2)]
    with pytest.raises(Problem, match="Too many streams") as refusal:
        await bounded.response(opened)
    assert refusal.value.status == 503

    async def receive() -> Any:
        await asyncio.Future()  # this client never leaves

    async def send(_message: Any) -> None:
        pass

    await answers[0].send({}, receive, send)
    await bounded.response(opened)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/orders/none", {}, 404),
        ("/orders/%00", {}, 404),
        ("/orders/one?version=1", {}, 400),
        ("/orders/one", {"Last-Event-ID": "x"}, 400),
        ("/orders/one", {"Last-Event-ID": "-1"}, 400),
        ("/orders/one", {"Last-Event-ID": "9" * 19}, 400),
        ("/customers/ALFKI/orders?status=pending", {}, 400),
        ("/customers/ALFKI/orders?cursor=x", {}, 400),
        ("/customers/ALFKI/orders?page=2", {}, 400),
        ("/customers/ALFKI/orders?limit=0", {}, 400),
    ],
)
async def test_what_cannot_be_streamed_is_a_problem(
    service: OrderService, path: str, headers: dict[str, str], status: int
) -> None:
    await create(service, "one", "ALFKI")
    transport = httpx.ASGITransport(application(service, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        problem(await http.get(path, headers=STREAM | headers), status)
        assert (await http.head("/orders/one", headers=STREAM)).headers["content-type"] == "application/json"


# --- with a server ----------------------------------------------------------------------------------------------------


async def follow(url: str, path: str, after: int | None = None) -> AsyncIterator[Sent]:
    """The events of a stream until it ends or breaks off."""
    headers = STREAM | ({} if after is None else {"Last-Event-ID": str(after)})
    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        assert response.status_code == 200
        block = ""
        async for line in response.aiter_lines():
            if line:
                block += f"{line}\n"
            else:
                event = parsed(block)
                block = ""
                if event is not None:
                    yield event


async def follow_on(url: str, path: str, seen: list[Sent], chance: random.Random, finished: asyncio.Event) -> None:
    """A client as EventSource is one: it comes back whenever it lost the stream; and now and then it breaks off."""
    while not finished.is_set():
        left = chance.randrange(1, 60)
        with suppress(httpx.TransportError):
            async for event in follow(url, path, seen[-1].id if seen else None):
                seen.append(event)
                left -= 1
                if left == 0:
                    break
        await asyncio.sleep(0.01)


async def write(url: str, customer: str, made: list[str], until: asyncio.Event) -> None:
    """Create orders and lead them on, whatever the server does; each is noted in `made`."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, headers=JSON) as client:

        async def ask(method: str, path: str, sent: object) -> dict[str, Any]:
            key = {"Idempotency-Key": new_key()}
            while True:
                with suppress(httpx.TransportError):
                    response = await client.request(method, path, content=encode(sent), headers=key)
                    if response.status_code < 500:
                        assert response.is_success, response.text
                        answer: dict[str, Any] = response.json()
                        return answer
                await asyncio.sleep(0.05)

        while not until.is_set():
            order_id = (await ask("POST", "/orders", body(customerId=customer)))["orderId"]
            made.append(order_id)
            for status in ("confirmed", "shipped"):
                await ask("PATCH", f"/orders/{order_id}/status", {"status": status})


async def grown(made: list[str], by: int) -> None:
    """Return when so many more were made."""
    enough = len(made) + by
    async with asyncio.timeout(PATIENCE):
        while len(made) < enough:  # noqa: ASYNC110 - the writers have other things to do than to tell it
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "views", "processes"),
    [("sqlite", Lifecycle.INLINE, 1), ("sqlite", Lifecycle.SUBSCRIBED, 2), ("postgres", Lifecycle.SUBSCRIBED, 2)],
)
async def test_no_change_is_missed_or_repeated(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, views: Lifecycle, processes: int
) -> None:
    """Two clients, concurrent writers, streams that break off, and a service that is killed and started again."""
    file: str = f"sqlite:///{tmp_path / 'orders.db'}"
    store: str = file if kind == "sqlite" else request.getfixturevalue("postgres_url")
    port, customer = free_port(), new_customer()
    log = tmp_path / "service.log"
    chance = random.Random(7)
    path, seen = f"/customers/{customer}/orders", [list[Sent](), list[Sent]()]
    enough, finished = asyncio.Event(), asyncio.Event()

    def begin() -> Server:
        return start(store, log, port=port, lease_seconds=1, views=views, processes=processes)

    server = await asyncio.to_thread(begin)
    try:
        url = server.url
        followers = asyncio.gather(
            *(follow_on(url, path, events, random.Random(chance.random()), finished) for events in seen)
        )
        made: list[str] = []
        writers = asyncio.gather(*(write(url, customer, made, enough) for _ in range(4)))
        for _ in range(2):
            await grown(made, 20)
            server.kill()
            server = await asyncio.to_thread(begin)
        await grown(made, 20)
        enough.set()
        await writers
        async with open_service(store, lifecycle=views) as service:
            positions = [recorded.position async for recorded in service.store.read_all()]
        async with asyncio.timeout(PATIENCE):
            # What the followers see is told by nobody else.
            while not all(events and events[-1].id == positions[-1] for events in seen):  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.05)
        finished.set()
        assert await asyncio.to_thread(server.stop) == 0, server.output
        await followers
        for events in seen:
            assert [event.id for event in events] == positions  # each once, and in order
            last = {event.data["orderId"]: event.data for event in events}
            assert len(last) == len(made)
            assert {order["status"] for order in last.values()} == {"shipped"}
    finally:
        server.kill()


def test_a_stop_ends_streams_at_once(tmp_path: Path) -> None:
    async def listen(url: str, number: int, begun: asyncio.Event) -> int:
        count = 0
        async for _ in follow(url, f"/customers/{'alice' if number % 2 else 'bob'}/orders"):
            count += 1
            begun.set()
        return count

    async def stopped(server: Server) -> None:
        async with httpx.AsyncClient(base_url=server.url, headers=JSON) as client:
            for customer in ("alice", "bob"):
                assert (await client.post("/orders", content=encode(body(customerId=customer)))).status_code == 201
        begun = [asyncio.Event() for _ in range(40)]
        listeners = asyncio.gather(*(listen(server.url, number, event) for number, event in enumerate(begun)))
        for event in begun:
            await event.wait()
        began = time.monotonic()
        code = await asyncio.to_thread(server.stop)
        assert code == 0, server.output
        assert time.monotonic() - began < 10
        assert await listeners == [1] * 40  # each ended as a whole answer does

    with start(f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "service.log", stop_seconds=100) as server:
        asyncio.run(stopped(server))
        assert "Traceback" not in server.output


def silent_reader(server: Server, path: str) -> socket.socket:
    """A client that asks for a stream and never reads it."""
    address = httpx.URL(server.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.host, address.port))
    client.sendall(written("GET", path, headers=STREAM))
    return client


def large(customer: str) -> bytes:
    """A new order that is as large as they come."""
    item = {"productId": "p", "productName": "n" * 200, "quantity": 1, "price": "1.00"}
    return encode(body(customerId=customer, items=[item] * 200))


def test_a_slow_reader_holds_nobody_up(tmp_path: Path) -> None:
    customer = new_customer()
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "service.log", stop_seconds=5) as server, ExitStack() as stack:
        slow = stack.enter_context(silent_reader(server, f"/customers/{customer}/orders"))

        async def others() -> None:
            seen: list[int] = []

            async def listen() -> None:
                async for event in follow(server.url, f"/customers/{customer}/orders"):
                    seen.append(event.id)
                    if len(seen) == 150:
                        return

            listener = asyncio.create_task(listen())
            async with httpx.AsyncClient(base_url=server.url, headers=JSON, timeout=PATIENCE) as client:
                for _ in range(150):
                    assert (await client.post("/orders", content=large(customer))).status_code == 201
            async with asyncio.timeout(PATIENCE):
                await listener
            assert seen == list(range(1, 151))

        asyncio.run(others())
        deadline = time.monotonic() + PATIENCE
        while "its client does not read" not in server.output:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        slow.settimeout(PATIENCE)
        with suppress(ConnectionError):  # it was not only given up, but cut off
            while slow.recv(1_000_000):
                pass
        stack.enter_context(silent_reader(server, f"/customers/{customer}/orders?limit=100"))
        time.sleep(1)
        began = time.monotonic()
        code = server.stop()
        assert code == 0, server.output
        assert time.monotonic() - began < 5
