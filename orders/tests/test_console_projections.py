"""The console's pages about the read side, without scripts: how it stands, what is stuck, and what is done about it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from consoles import act, browser, logins, see, text_of
from order_samples import body
from orders.app import OrderService, open_service
from orders.requests import create_order, update_status
from orders.settings import Lifecycle
from poison import Poison
from twofold.console.logins import Role
from twofold.console.pages.projections import WORKS
from twofold.errors import ProjectionFailed
from twofold.overview import State, Status

PATIENCE = 60.0  # seconds: two cores are shared with other tests
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202etxt \x1b[31m {{ 7*7 }} </textarea>'\""


@pytest.fixture
async def subscribed() -> AsyncGenerator[OrderService]:
    async with open_service("memory:", lifecycle=Lifecycle.SUBSCRIBED, lease_seconds=0.5) as service:
        yield service


@pytest.fixture
async def http(subscribed: OrderService) -> AsyncGenerator[httpx.AsyncClient]:
    async with browser(subscribed) as client:
        yield client


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    return Poison(monkeypatch)


async def create(service: OrderService, order_id: str, **changes: object) -> int:
    return (await service.commands.execute(create_order(order_id, body(**changes), "USD"))).position


async def bring(service: OrderService, order_id: str, *statuses: str) -> int:
    position = 0
    for status in statuses:
        position = (await service.commands.execute(update_status(order_id, {"status": status}))).position
    return position


async def until(look: Callable[[], Awaitable[str]], text: str) -> str:
    """Look at a page until this stands there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            page = await look()
            if text in page:
                return page
            await asyncio.sleep(0.02)


async def test_the_overview_says_what_is_stuck(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.add("one")
    await create(subscribed, "one")
    await create(subscribed, "two")
    page = await until(lambda: see(http, ""), "Parked 1 letters")
    assert "Head of the log 2" in page
    assert "Store ready" in page
    assert "Standing still 0 of 2 projections" in page


async def test_a_projection_is_paused_and_goes_on(subscribed: OrderService, http: httpx.AsyncClient) -> None:
    done = await act(http, "/projections/pause", {"name": "order_details", "reason": f" {HOSTILE} "})
    assert "order_details is paused." in text_of(done)
    assert "<script>alert" not in done.text
    assert "<img" not in done.text
    assert "\u202e" not in done.text
    assert "\\u202etxt \\u001b[31m {{ 7*7 }}" in done.text
    await create(subscribed, "one")
    page = await see(http, "/projections")
    assert "paused" in page
    done = await act(http, "/projections/resume", {"name": "order_details"})
    assert "order_details is resumed." in text_of(done)
    await until(lambda: see(http, "/projections/show?name=order_details"), "following")


async def test_a_pause_needs_a_reason_and_a_reset_to_be_confirmed(
    subscribed: OrderService, http: httpx.AsyncClient
) -> None:
    answer = await act(http, "/projections/pause", {"name": "order_details", "reason": " "})
    assert (answer.status_code, "Reason must have 1 to 1000 characters" in text_of(answer)) == (400, True)
    answer = await act(http, "/projections/reset", {"name": "order_details"})
    assert answer.status_code == 400
    await create(subscribed, "one")
    answer = await act(http, "/projections/reset", {"name": "order_details", "confirmed": "yes"})
    assert "is emptied" in text_of(answer)


async def test_a_projection_is_built_compared_and_promoted(subscribed: OrderService, http: httpx.AsyncClient) -> None:
    for order_id in ("one", "two"):
        await create(subscribed, order_id)

    async def look() -> str:
        return await see(http, "/projections/show?name=order_details")

    for what, said in (("build", "Build, by loopback done"), ("compare", "no difference"), ("promote", "done")):
        begun = await act(http, f"/projections/{what}", {"name": "order_details"})
        assert f"The {what} of order_details has begun." in text_of(begun)
        await until(look, f"{what.capitalize()}, by loopback")
        page = await until(look, said)
        assert ("Go on with the build" in page) == (what != "promote")
    assert (await http.get("/orders/one")).status_code == 200


async def test_a_parked_sequence_is_found_understood_retried_and_drained(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.update(("one", "two"))
    first = await create(subscribed, "one", customerId="<b>Ann</b>")
    await create(subscribed, "two")
    second = await bring(subscribed, "one", "confirmed")
    await until(lambda: see(http, "/projections"), "following")
    page = await until(lambda: see(http, "/parked"), "order_details RuntimeError 2")
    assert "RuntimeError: this cannot be folded" in page

    letter = f"/parked/show?projection=order_details&position={first}&sequence=one"
    answer = await http.get(f"/console{letter}")
    raw = answer.text
    trace = r"Where in the code RuntimeError twofold.table_view:\d+ in \S+ poison:\d+ in \S+failing"
    assert re.search(trace, text_of(answer))
    assert "&lt;b&gt;Ann&lt;/b&gt;" in raw
    assert "<b>Ann" not in raw
    assert f'position={second}&amp;sequence=one"' in raw
    behind = await see(http, f"/parked/show?projection=order_details&position={second}&sequence=one")
    assert f"It waits behind an earlier event of its sequence: event {first}" in behind
    assert "Where in the code" not in behind

    fields = {"projection": "order_details", "sequence": "one", "position": first}
    tried = text_of(await act(http, "/parked/rehearse", fields))
    assert "0 of 2 events would be folded, then: RuntimeError: this cannot be folded" in tried
    poison.orders.discard("one")
    tried = text_of(await act(http, "/parked/rehearse", fields))
    assert "All 2 events would be folded, and the sequence drained." in tried
    assert "status \u2013 confirmed" in tried
    assert (await http.get("/orders/one")).status_code == 404  # nothing was stored

    done = text_of(await act(http, "/parked/retry", {"projection": "order_details", "sequence": "one"}))
    assert "2 events folded; 1 of 1 sequences drained." in done
    assert (await http.get("/orders/one")).json()["status"] == "confirmed"
    stuck = text_of(await act(http, "/parked/retry", {"projection": "order_details", "kind": "RuntimeError"}))
    assert "0 events folded; 0 of 1 sequences drained. 1 events are left" in stuck
    poison.orders.clear()
    await act(http, "/parked/retry", {"projection": "order_details"})
    assert "Nothing is parked." in await see(http, "/parked")


async def test_an_event_is_skipped_for_a_reason_and_taken_back(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.add("one")
    first = await create(subscribed, "one")
    second = await bring(subscribed, "one", "confirmed")
    await until(lambda: see(http, "/parked"), "one order_details 2")
    fields = {"projection": "order_details", "sequence": "one"}
    refused = await act(http, "/parked/skip", {**fields, "position": second, "reason": "not the first"})
    assert refused.status_code == 409
    refused = await act(http, "/parked/skip", {**fields, "position": first, "reason": ""})
    assert refused.status_code == 400
    done = text_of(await act(http, "/parked/skip", {**fields, "position": first, "reason": HOSTILE}))
    assert f"Event {first} is left out" in done
    assert "Left out, because: <script>alert(1)</script>" in done  # as text
    done = text_of(await act(http, "/parked/undo-skip", {**fields, "position": first}))
    assert f"Event {first} is back in its sequence." in done


async def test_what_operators_did_is_listed(subscribed: OrderService, http: httpx.AsyncClient, poison: Poison) -> None:
    assert "Nobody has changed anything yet." in await see(http, "/audit")
    poison.orders.add("one")
    position = await create(subscribed, "one")
    await until(lambda: see(http, "/parked"), "one order_details 1")
    await act(http, "/projections/pause", {"name": "order_details", "reason": HOSTILE})
    await act(http, "/projections/resume", {"name": "order_details"})
    fields = {"projection": "order_details", "sequence": "one", "position": position}
    await act(http, "/parked/rehearse", fields)  # changes nothing
    refused = await act(http, "/parked/undo-skip", fields)
    assert refused.status_code == 409
    await act(http, "/parked/skip", {**fields, "reason": "a bad carrier"})
    raw = (await http.get("/console/audit")).text
    assert "<script>alert" not in raw
    page = await see(http, "/audit")
    listed = [page.index(what) for what in ("skip", "undo", "resume", "pause")]
    assert listed == sorted(listed)  # the last one first
    assert "loopback console" in page
    assert "a bad carrier" in page
    assert "rehearse" not in page
    assert "failed LetterRefused" in page


async def test_parked_letters_are_narrowed_down(
    subscribed: OrderService, http: httpx.AsyncClient, poison: Poison
) -> None:
    poison.orders.update(("one", "two"))
    await create(subscribed, "one")
    await create(subscribed, "two")
    await until(lambda: see(http, "/parked"), "RuntimeError 2")
    assert "two order_details 1" not in await see(http, "/parked?sequence=on")
    assert "Nothing fits." in await see(http, "/parked?kind=ValueError")
    assert "Nothing fits." in await see(http, "/parked?projection=sales")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/projections/show?name=nothing", 404),
        ("/projections/show", 404),
        ("/projections?x=1", 400),
        ("/parked/show?projection=order_details&position=1", 404),
        ("/parked/show?projection=order_details&position=one", 400),
        (f"/parked?sequence={'x' * 1000}", 400),
    ],
)
async def test_what_is_not_there_is_a_page_too(http: httpx.AsyncClient, path: str, status: int) -> None:
    assert "To the overview" in await see(http, path, status)


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/projections/build", {"name": "nothing"}, 404),
        ("/projections/pause", {"name": "nothing", "reason": "why"}, 404),
        ("/parked/retry", {"projection": "nothing"}, 404),
        ("/parked/retry", {"projection": "order_details", "sequence": "none"}, 404),
        ("/parked/rehearse", {"projection": "order_details", "sequence": "none"}, 404),
        ("/parked/skip", {"projection": "order_details", "position": "x", "reason": "why"}, 400),
        ("/parked/skip", {"projection": "order_details", "position": "9" * 19, "reason": "why"}, 404),
    ],
)
async def test_what_cannot_be_done_is_a_page_too(
    http: httpx.AsyncClient, path: str, fields: dict[str, str], status: int
) -> None:
    answer = await act(http, path, fields)
    assert answer.status_code == status, text_of(answer)


async def test_inline_projections_are_shown_and_cannot_be_paused() -> None:
    async with open_service("memory:", lifecycle=Lifecycle.INLINE) as service, browser(service) as http:
        await create(service, "one")
        page = await see(http, "/projections/show?name=order_details")
        assert "following, inline" in page
        assert "It is folded inside each append" in page
        answer = await act(http, "/projections/pause", {"name": "order_details", "reason": "why"})
        assert answer.status_code == 409


async def test_who_does_not_see_payloads_does_not_see_errors(
    subscribed: OrderService, poison: Poison, tmp_path_factory: pytest.TempPathFactory
) -> None:
    poison.orders.add("one")
    poison.error = "no such customer: Ann Secret"
    first = await create(subscribed, "one", customerId="Ann Secret")
    users = logins(tmp_path_factory.mktemp("logins"), ann=Role.SEE)
    async with browser(subscribed, console_logins=users) as http:
        page = await http.get("/console/login")
        token = page.cookies["twofold-form"]
        await http.post("/console/login", data={"csrf": token, "name": "ann", "password": "ann"})
        await until(lambda: see(http, "/parked"), "RuntimeError")
        for path in ("/parked", f"/parked/show?projection=order_details&position={first}", "/projections", ""):
            shown = (await http.get(f"/console{path}")).text
            assert "Secret" not in shown
            assert "Where in the code" not in shown


async def test_what_a_failed_projection_says_of_an_event_is_for_who_sees_payloads(
    subscribed: OrderService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(_store: object, _views: object = None, *, personal: bool = True) -> list[Status]:
        reason = "KeyError: 'Ann Secret'" if personal else "KeyError"
        return [Status("order_details_v2", State.FAILED, False, 0, 1, 1, 1.0, 0, 0, (), reason)]

    async def stuck() -> None:
        raise ProjectionFailed("order_details", "KeyError: 'Ann Secret'")

    for module in (
        "twofold.console.pages.overview",
        "twofold.console.pages.projections",
        "twofold.http.projections",
        "twofold.inspecting.standing",
    ):
        monkeypatch.setattr(f"{module}.overview", failed)
    monkeypatch.setattr(subscribed.store, "check", stuck)
    users = logins(tmp_path, ann=Role.SEE, bob=Role.PAYLOADS)
    async with browser(subscribed, console_logins=users) as http:
        for name, sees in (("ann", False), ("bob", True)):
            login = {"Authorization": f"Bearer {name}:{name}"}
            for path in ("/console", "/console/projections", "/projections", "/console/api/overview"):
                page = await http.get(path, headers=login)
                assert page.status_code == 200
                assert "KeyError" in page.text
                assert ("Ann Secret" in page.text) == sees, (name, path)
        ready = await http.get("/readyz")
        assert ready.json()["error"] == "Not ready: the projection order_details failed: KeyError"


async def test_how_a_job_failed_is_for_who_sees_payloads(
    subscribed: OrderService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise ProjectionFailed("order_details", "KeyError: 'Ann Secret'")

    monkeypatch.setitem(WORKS, "compare", failing)
    users = logins(tmp_path, ann=Role.SEE, eve=Role.OPERATE)
    async with browser(subscribed, console_logins=users) as http:
        page = await http.get("/console/login")
        fields = {"csrf": page.cookies["twofold-form"], "name": "eve", "password": "eve"}
        await http.post("/console/login", data=fields)
        await act(http, "/projections/compare", {"name": "order_details"})
        address = "/console/projections/show?name=order_details"
        for name, sees in (("ann", False), ("eve", True)):
            page = await http.get(address, headers={"Authorization": f"Bearer {name}:{name}"})
            assert "ProjectionFailed" in page.text
            assert ("Ann Secret" in page.text) == sees, name
