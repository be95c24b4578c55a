"""The operator's part of the API: how projections stand, pause and resume, and parked events seen to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest

from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.details import details
from orders.requests import create_order, update_status
from orders.settings import Lifecycle, Settings
from poison import Poison
from talking import JSON, encode, exactly, problem
from twofold.views import identity

PATIENCE = 60.0  # seconds: two cores are shared with other tests


@pytest.fixture
async def subscribed(url: str) -> AsyncGenerator[OrderService]:
    """The service with subscribed views."""
    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED, lease_seconds=0.5) as opened:
        yield opened


def client_of(service: OrderService, **settings: Any) -> httpx.AsyncClient:
    """A client of the service's application, in this process."""
    transport = httpx.ASGITransport(application(service, Settings(**settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON)


@pytest.fixture
async def http(subscribed: OrderService) -> AsyncGenerator[httpx.AsyncClient]:
    """A client that may change things."""
    async with client_of(subscribed) as client:
        yield client


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Nothing is poisoned yet."""
    return Poison(monkeypatch)


async def create(service: OrderService, order_id: str) -> int:
    """Create an order; its event's position."""
    return (await service.commands.execute(create_order(order_id, body(), "USD"))).position


async def bring(service: OrderService, order_id: str, *statuses: str) -> int:
    """Lead an order on; the last position."""
    position = 0
    for status in statuses:
        position = (await service.commands.execute(update_status(order_id, {"status": status}))).position
    return position


async def status(http: httpx.AsyncClient, name: str = "order_details") -> dict[str, Any]:
    """How a projection stands."""
    answer = await http.get("/projections")
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, Any]] = {each["name"]: each for each in answer.json()["projections"]}
    return found[name]


async def until(http: httpx.AsyncClient, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until it holds of how the details stand."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await status(http)
            if holds(found):
                return found
            await asyncio.sleep(0.02)


async def parked(http: httpx.AsyncClient, path: str = "") -> list[dict[str, Any]]:
    """The letters of the details."""
    answer = await http.get(f"/projections/order_details/parked{path}")
    assert answer.status_code == 200, answer.text
    letters: list[dict[str, Any]] = answer.json()["letters"]
    return letters


async def tell(http: httpx.AsyncClient, path: str, sent: object = None) -> httpx.Response:
    """POST to the details."""
    return await http.post(f"/projections/order_details/{path}", content=b"" if sent is None else encode(sent))


async def test_the_overview_says_how_all_projections_stand(subscribed: OrderService, http: httpx.AsyncClient) -> None:
    last = await create(subscribed, "one")
    found = await until(http, lambda found: found["position"] == last)
    assert found["subscription"] == identity(details)
    assert found["state"] == "following"
    assert found["reason"] is None
    assert not found["inline"]
    assert (found["head"], found["behind"], found["seconds"]) == (last, 0, 0)
    assert (found["letters"], found["sequences"]) == (0, 0)
    assert len(found["owners"]) == 1
    assert (await status(http, "sales"))["inline"] is False


async def test_inline_projections_are_told_too_and_cannot_stand_still(url: str) -> None:
    async with open_service(url, lifecycle=Lifecycle.INLINE) as service, client_of(service) as http:
        last = await create(service, "one")
        found = await status(http)
        assert (found["inline"], found["state"], found["position"]) == (True, "following", last)
        for answer in (
            await tell(http, "pause", {"reason": "why not"}),
            await tell(http, "resume"),
            await tell(http, "reset"),
            await tell(http, "parked/retry"),
            await http.get("/projections/order_details/parked"),
        ):
            assert problem(answer, 409)["type"].endswith(":projection-inline")


async def test_a_projection_is_paused_and_goes_on(subscribed: OrderService, http: httpx.AsyncClient) -> None:
    assert (await tell(http, "pause", {"reason": " a new index "})).status_code == 204
    await create(subscribed, "one")
    found = await status(http)
    assert (found["state"], found["reason"]) == ("paused", "a new index")
    assert found["behind"] >= 1
    assert (await tell(http, "resume")).status_code == 204
    await until(http, lambda found: found["state"] == "following" and found["behind"] == 0)
    # By its name in the store as well.
    name = f"/projections/{identity(details)}/pause"
    assert (await http.post(name, content=encode({"reason": "again"}))).status_code == 204
    assert (await status(http))["state"] == "paused"


async def test_parked_events_are_seen_and_retried(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.update(("one", "two"))
    positions = [await create(subscribed, "one"), await create(subscribed, "two"), await create(subscribed, "three")]
    positions.append(await bring(subscribed, "one", "confirmed"))
    await until(http, lambda found: found["position"] == positions[-1])
    found = await status(http)
    assert (found["letters"], found["sequences"]) == (3, 2)

    letters = await parked(http)
    assert [(each["sequence"], each["position"]) for each in letters] == [
        ("one", positions[0]),
        ("one", positions[3]),
        ("two", positions[1]),
    ]
    assert letters[0]["error"] == "RuntimeError: this cannot be folded"
    assert letters[0]["trace"].startswith("RuntimeError\n  twofold.table_view:")
    assert letters[1]["trace"] is None
    assert letters[0]["attempts"] >= 1
    assert letters[1]["error"] == "an earlier event of its sequence is parked"
    assert (letters[1]["attempts"], letters[1]["skipped"], letters[1]["overtaken"]) == (0, None, False)

    first = (await http.get("/projections/order_details/parked?limit=2")).json()
    assert first["letters"][0]["position"] == positions[0]
    rest = await parked(http, f"?limit=2&cursor={first['cursor']}")
    assert [each["sequence"] for each in rest] == ["two"]

    shown = exactly(await http.get(f"/projections/order_details/parked/{positions[0]}"))
    assert shown["event"]["stream"] == "order-one"
    assert (shown["event"]["type"], shown["event"]["version"]) == ("OrderCreated", 1)
    assert shown["event"]["data"]["customerId"] == body()["customerId"]
    assert [each["sequence"] for each in shown["letters"]] == ["one"]
    assert shown["unreadable"] is None

    failed = (await tell(http, "parked/retry", {"sequence": "one"})).json()["sequences"]
    assert failed == [
        {
            "sequence": "one",
            "partition": letters[0]["partition"],
            "folded": 0,
            "left": 2,
            "error": "RuntimeError: this cannot be folded",
        }
    ]
    poison.orders.discard("one")
    drained = (await tell(http, "parked/retry", {"sequence": "one"})).json()["sequences"]
    assert [(each["folded"], each["left"], each["error"]) for each in drained] == [(2, 0, None)]
    assert (await http.get("/orders/one")).json()["status"] == "confirmed"
    poison.orders.clear()
    drained = (await tell(http, "parked/retry")).json()["sequences"]
    assert [(each["sequence"], each["folded"]) for each in drained] == [("two", 1)]
    await until(http, lambda found: found["letters"] == 0)
    assert (await tell(http, "parked/retry")).json() == {"sequences": []}
    assert problem(await tell(http, "parked/retry", {"sequence": "one"}), 404)["type"].endswith(":letter-unknown")


async def test_a_reset_projection_forgets_what_is_parked_and_is_folded_again(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.add("one")
    for order_id in ("one", "two"):
        await create(subscribed, order_id)
    await until(http, lambda found: found["letters"] == 1 and found["behind"] == 0)
    poison.orders.clear()
    assert (await tell(http, "pause", {"reason": "a look"})).status_code == 204
    assert (await tell(http, "reset")).status_code == 204
    found = await until(http, lambda found: found["behind"] == 0)
    assert (found["letters"], found["state"]) == (0, "following")
    assert [(await http.get(f"/orders/{order_id}")).status_code for order_id in ("one", "two")] == [200, 200]
    assert problem(await tell(http, "reset", {"really": True}), 400)
    assert problem(await http.post("/projections/nothing/reset"), 404)["type"].endswith(":projection-unknown")


async def test_an_event_is_skipped_and_taken_back(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    await create(subscribed, "one")
    last = await bring(subscribed, "one", "confirmed")
    await until(http, lambda found: found["position"] == last)
    poison.orders.add("one")
    shipped = await bring(subscribed, "one", "shipped")
    delivered = await bring(subscribed, "one", "delivered")
    await until(http, lambda found: found["letters"] == 2)

    second = {"sequence": "one", "position": delivered}
    refusal = await tell(http, "parked/skip", {**second, "reason": "not the first"})
    assert problem(refusal, 409)["type"].endswith(":letter-refused")
    first = {"sequence": "one", "position": shipped}
    assert problem(await tell(http, "parked/undo-skip", first), 409)
    assert (await tell(http, "parked/skip", {**first, "reason": " a bad carrier "})).status_code == 204
    assert [each["skipped"] for each in await parked(http)] == ["a bad carrier", None]
    assert (await tell(http, "parked/undo-skip", first)).status_code == 204
    assert [each["skipped"] for each in await parked(http)] == [None, None]

    assert (await tell(http, "parked/skip", {**first, "reason": "a bad carrier"})).status_code == 204
    poison.orders.clear()
    await tell(http, "parked/retry")
    await until(http, lambda found: found["letters"] == 0)
    assert [each["overtaken"] for each in await parked(http)] == [True]
    refusal = await tell(http, "parked/undo-skip", first)
    assert problem(refusal, 409)["type"].endswith(":skip-overtaken")


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        ("none/pause", {"reason": "why"}, 404),
        ("none/resume", None, 404),
        ("none/parked/retry", None, 404),
        ("order_details/parked/skip", {"sequence": "one", "position": 1, "reason": "why"}, 404),
        ("order_details/parked/undo-skip", {"sequence": "one", "position": 1}, 404),
        ("order_details/parked/undo-skip", {"sequence": "one", "position": 1.0}, 404),
        ("order_details/parked/undo-skip", {"sequence": "one", "position": 1.5}, 400),
        ("order_details/pause", {}, 400),
        ("order_details/pause", {"reason": " "}, 400),
        ("order_details/pause", {"reason": "a\nb"}, 400),
        ("order_details/pause", {"reason": "why", "more": 1}, 400),
        ("order_details/pause?x=1", {"reason": "why"}, 400),
        ("order_details/resume", {"more": 1}, 400),
        ("order_details/parked/skip", {"sequence": "one", "position": 0, "reason": "why"}, 400),
    ],
)
async def test_what_cannot_be_done_is_a_problem(
    http: httpx.AsyncClient, path: str, sent: object, expected: int
) -> None:
    answer = await http.post(f"/projections/{path}", content=b"" if sent is None else encode(sent))
    problem(answer, expected)


async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    for path in ("none/parked", "none/parked/1", "order_details/parked/1", f"order_details/parked/{10**30}"):
        problem(await http.get(f"/projections/{path}"), 404)
    for path in ("?cursor=x", "?limit=0", "?page=2"):
        problem(await http.get(f"/projections/order_details/parked{path}"), 400)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])  # noqa: S104 - what is refused there
async def test_without_logins_they_are_for_this_machine_only(subscribed: OrderService, host: str) -> None:
    async with client_of(subscribed, host=host) as http:
        answers = [
            await http.get("/projections"),
            await http.get("/projections/order_details/parked"),
            await http.get("/projections/order_details/parked/1"),
        ]
        sent = {"reason": "why", "sequence": "one", "position": 1}
        for path in ("pause", "resume", "reset", "parked/retry", "parked/skip", "parked/undo-skip"):
            answers += [await tell(http, path, sent)]
        for answer in answers:
            assert problem(answer, 403)["type"].endswith(":operators-only")
    async with client_of(subscribed) as http:
        assert (await status(http))["state"] != "paused"
