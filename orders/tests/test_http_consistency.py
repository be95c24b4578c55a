"""Read your own writes by HTTP: tokens, waits, and answers that say that they are stale."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import httpx
import pytest

from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.details import details
from orders.sales import sales
from orders.settings import Lifecycle, Settings
from talking import JSON, encode, exactly, new_customer, new_key, problem, refused
from twofold.claims import Claims
from twofold.sql import Fetch, Row
from twofold.views import View, identity
from twofold.watermarks import Token

PROMPT = {"Prefer": "wait=0"}


@asynccontextmanager
async def client_of(service: OrderService, seconds: float = 5.0) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the service's application, in this process."""
    transport = httpx.ASGITransport(application(service, Settings(view_seconds=seconds)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=JSON) as client:
        yield client


@pytest.fixture
async def subscribed(url: str) -> AsyncGenerator[OrderService]:
    """The service with views that are behind until their subscriptions have come."""
    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED) as opened:
        yield opened


@pytest.fixture
async def http(subscribed: OrderService) -> AsyncGenerator[httpx.AsyncClient]:
    """A client that waits as long as it takes."""
    async with client_of(subscribed) as client:
        yield client


async def pause(service: OrderService, *views: View) -> None:
    """From now on these views stay as they are."""
    for view in views:
        assert await service.store.work(partial(Claims(service.store.dialect).pause, identity(view), "a test"))


async def resume(service: OrderService, *views: View) -> None:
    """These views go on."""
    for view in views:
        assert await service.store.work(partial(Claims(service.store.dialect).resume, identity(view)))


async def place(http: httpx.AsyncClient, customer: str = "ALFKI", **headers: str) -> httpx.Response:
    """Create an order."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await http.post("/orders", content=encode(body(customerId=customer)), headers=sent)
    assert response.status_code == 201, response.text
    return response


# --- after a command --------------------------------------------------------------------------------------------------


async def test_a_command_answers_a_token_and_waits_for_the_views(
    subscribed: OrderService, http: httpx.AsyncClient
) -> None:
    for _ in range(30):
        customer = new_customer()
        created = await place(http, customer)
        assert Token.of(created.headers["Consistency-Token"]) == Token(
            subscribed.store.id, await subscribed.store.head()
        )
        assert "Consistency" not in created.headers
        path = created.headers["Location"]
        assert (await http.get(path)).json()["status"] == "pending"
        changed = await http.patch(f"{path}/status", content=encode({"status": "confirmed"}))
        assert "Consistency" not in changed.headers
        assert (await http.get(path)).json()["status"] == "confirmed"
        assert (await http.get(f"/customers/{customer}/orders")).json()["total"] == 1


async def test_a_command_succeeds_although_the_views_do_not_come(
    subscribed: OrderService, http: httpx.AsyncClient
) -> None:
    await pause(subscribed, details)
    began = time.monotonic()
    created = await place(http, Prefer="wait=1")
    assert 0.9 < time.monotonic() - began < 4
    assert created.headers["Consistency"] == "stale; behind=1"
    assert created.headers["Preference-Applied"] == "wait=1"
    promptly = await place(http, Prefer="wait=0")
    assert promptly.headers["Consistency"] == "stale; behind=2"
    assert promptly.headers["Preference-Applied"] == "wait=0"


async def test_the_bound_of_the_settings_holds_where_the_client_prefers_none(subscribed: OrderService) -> None:
    await pause(subscribed, sales)
    async with client_of(subscribed, seconds=0.2) as http:
        began = time.monotonic()
        created = await place(http)
        assert 0.2 <= time.monotonic() - began < 3
    assert created.headers["Consistency"] == "stale; behind=1"
    assert "Preference-Applied" not in created.headers


async def test_a_repeated_answer_has_the_token_too(http: httpx.AsyncClient) -> None:
    key = new_key()
    first = await place(http, Idempotency_Key=key)
    await place(http)
    again = await place(http, Idempotency_Key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Consistency-Token"] == first.headers["Consistency-Token"]


async def test_a_command_that_changes_nothing_has_a_token(http: httpx.AsyncClient) -> None:
    path = (await place(http)).headers["Location"]
    answers = [await http.patch(f"{path}/status", content=encode({"status": "confirmed"})) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["Consistency-Token"] == answers[1].headers["Consistency-Token"]


async def test_a_refusal_has_no_token(http: httpx.AsyncClient) -> None:
    answer = await http.patch("/orders/none/status", content=encode({"status": "confirmed"}))
    assert answer.status_code == 404
    assert "Consistency-Token" not in answer.headers


async def test_a_database_in_trouble_does_not_take_the_success_back(
    subscribed: OrderService, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(_query: Fetch) -> list[Row]:
        return await asyncio.Future()

    monkeypatch.setattr(subscribed.store, "rows", stuck)
    created = await place(http, Prefer="wait=0")
    assert created.headers["Consistency"] == "unknown"


@pytest.fixture
async def inline(url: str) -> AsyncGenerator[OrderService]:
    """The service with views that change with each append."""
    async with open_service(url, lifecycle=Lifecycle.INLINE) as opened:
        yield opened


async def test_inline_views_are_never_waited_for(inline: OrderService, monkeypatch: pytest.MonkeyPatch) -> None:
    service, asked = inline, list[Fetch]()
    rows = service.store.rows

    async def counted(query: Fetch) -> list[Row]:
        asked.append(query)
        return await rows(query)

    async with client_of(service) as http:
        monkeypatch.setattr(service.store, "rows", counted)
        created = await place(http)
        assert asked == []
        token = created.headers["Consistency-Token"]
        await http.get(created.headers["Location"], headers={"Consistency-Token": token})
        assert len(asked) == 1
    assert "Consistency" not in created.headers


# --- queries with a token ---------------------------------------------------------------------------------------------

CUSTOMER = new_customer()
Path = Callable[[httpx.Response], str]
QUERIES: dict[str, tuple[Path, list[View]]] = {
    "order": (lambda created: str(created.headers["Location"]), [details]),
    "customer": (lambda _: f"/customers/{CUSTOMER}/orders", [details, sales]),
    "search": (lambda _: "/orders", [details]),
    "dashboard": (lambda _: "/dashboard", [sales]),
}
"""Each query: its path once an order was created, and the views that it reads."""

queries = pytest.mark.parametrize(("path", "views"), QUERIES.values(), ids=QUERIES)


@queries
async def test_a_query_waits_for_each_view_that_it_reads(
    subscribed: OrderService, http: httpx.AsyncClient, path: Path, views: list[View]
) -> None:
    for view in (details, sales):
        await pause(subscribed, view)
        created = await place(http, CUSTOMER, Prefer="wait=0")
        given = {"Consistency-Token": created.headers["Consistency-Token"]}
        wait = "wait=0" if view in views else "wait=20"
        told = await http.get(path(created), headers=given | {"Prefer": wait})
        assert ("Consistency" in told.headers) == (view in views)
        strict = await http.get(path(created), headers=given | {"Prefer": f"{wait}, handling=strict"})
        if view in views:
            assert told.headers["Consistency"].startswith("stale; behind=")
            assert strict.headers["Retry-After"] == "1"
            assert problem(strict, 503)["behind"] >= 1
        else:
            assert strict.status_code == 200
            assert strict.headers["Preference-Applied"] == "wait=20, handling=strict"
        waiting = asyncio.create_task(http.get(path(created), headers=given | {"Prefer": "wait=20"}))
        await asyncio.sleep(0.05)
        await resume(subscribed, view)
        answer = await waiting
        assert answer.status_code == 200
        assert "Consistency" not in answer.headers
        assert answer.headers["Preference-Applied"] == "wait=20"


@queries
async def test_without_a_token_nothing_is_waited_for(
    subscribed: OrderService, http: httpx.AsyncClient, path: Path, views: list[View]
) -> None:
    created = await place(http)
    await pause(subscribed, *views)
    await place(http, Prefer="wait=0")
    began = time.monotonic()
    answer = await http.get(path(created), headers={"Prefer": "wait=30, handling=strict"})
    assert time.monotonic() - began < 5
    assert answer.status_code == 200
    assert "Consistency" not in answer.headers
    assert "Preference-Applied" not in answer.headers


async def test_an_order_that_the_view_has_not_yet_is_not_found_and_says_why(
    subscribed: OrderService, http: httpx.AsyncClient
) -> None:
    await pause(subscribed, details)
    created = await place(http, Prefer="wait=0")
    given = {"Consistency-Token": created.headers["Consistency-Token"]} | PROMPT
    answer = await http.get(created.headers["Location"], headers=given)
    problem(answer, 404, "Order not found")
    assert answer.headers["Consistency"] == "stale; behind=1"


async def test_what_is_read_from_the_log_is_never_behind(subscribed: OrderService, http: httpx.AsyncClient) -> None:
    await pause(subscribed, details, sales)
    created = await place(http, Prefer="wait=0")
    given = {"Consistency-Token": created.headers["Consistency-Token"], "Prefer": "handling=strict"}
    for path in ("?version=1", "/events"):
        answer = await http.get(f"{created.headers['Location']}{path}", headers=given)
        assert answer.status_code == 200
        assert "Consistency" not in answer.headers


@pytest.mark.parametrize("token", ["", "x", "A" * 31, "A" * 33, "!" * 32, "_" * 32])
async def test_garbage_is_no_token(http: httpx.AsyncClient, token: str) -> None:
    for path in ("/orders/none", "/orders/none?version=1", "/customers/none/orders", "/orders", "/dashboard"):
        answer = await http.get(path, headers={"Consistency-Token": token})
        faults = refused(answer, "Consistency-Token must be one that an answer gave")
        assert faults[0]["path"] == "Consistency-Token"
        assert faults[0]["code"] == "header"


async def test_a_token_of_another_store_says_nothing_here(http: httpx.AsyncClient) -> None:
    token = Token(uuid4(), 10_000).text()
    path = (await place(http)).headers["Location"]
    answer = await http.get(path, headers={"Consistency-Token": token, "Prefer": "wait=30"})
    assert answer.status_code == 200
    assert answer.headers["Consistency"] == "unknown"
    assert "Preference-Applied" not in answer.headers
    strict = await http.get(path, headers={"Consistency-Token": token, "Prefer": "handling=strict"})
    problem(strict, 503, "The Consistency-Token was given by another store")


@pytest.mark.parametrize(
    ("preferred", "applied"),
    [
        ("wait=0", "wait=0"),
        ('WAIT = "0" ; why=not', "wait=0"),
        ("respond-async, handling=strict , wait=0", "wait=0, handling=strict"),
        ('note="a, b", wait=0', "wait=0"),
        ("wait=x", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait", None),
        ("handling=lenient", None),
        ('"', None),
        (",,,", None),
    ],
)
async def test_preferences_that_cannot_be_read_are_ignored(
    http: httpx.AsyncClient, preferred: str, applied: str | None
) -> None:
    created = await place(http)
    given = {"Consistency-Token": created.headers["Consistency-Token"], "Prefer": preferred}
    answer = await http.get(created.headers["Location"], headers=given)
    assert answer.status_code == 200
    assert answer.headers.get("Preference-Applied") == applied


async def test_nobody_waits_longer_than_is_allowed(http: httpx.AsyncClient) -> None:
    created = await place(http, Prefer="wait=1000000")
    assert created.headers["Preference-Applied"] == "wait=30"


# --- conditions -------------------------------------------------------------------------------------------------------


async def test_if_match_is_checked_on_the_stream_and_not_on_a_stale_view(
    subscribed: OrderService, http: httpx.AsyncClient
) -> None:
    await pause(subscribed, details, sales)
    created = await place(http, Prefer="wait=0")
    path = f"{created.headers['Location']}/status"
    for version, status in enumerate(("confirmed", "shipped", "delivered"), start=1):
        sent = encode({"status": status})
        stale = await http.patch(path, content=sent, headers={"If-Match": f'"{version - 1}"'} | PROMPT)
        assert exactly(stale)["actualVersion"] == version
        problem(stale, 412)
        answer = await http.patch(path, content=sent, headers={"If-Match": f'"{version}"'} | PROMPT)
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"] == f'"{version + 1}"'


async def test_if_match_on_an_order_that_is_not_there(http: httpx.AsyncClient) -> None:
    answer = await http.patch("/orders/none/status", content=encode({"status": "shipped"}), headers={"If-Match": '"1"'})
    problem(answer, 404, "Order not found")


def test_a_token_has_the_shape_that_the_description_says() -> None:
    for token in (Token(uuid4(), 0), Token(uuid4(), 2**63 - 1)):
        assert Token.of(token.text()) == token
