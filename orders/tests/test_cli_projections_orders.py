"""The commands `orders projections` and `orders parked`, beside a running service whose views are subscribed."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
import sqlalchemy as sa

from commands import WIDE, command, objects
from orders.app import OrderService, open_service
from orders.cli import main
from orders.details import OrderDetails, OrderView, details
from orders.domain import CreateOrder, Item, OrderEvent, OrderStatusUpdated, Status, UpdateOrderStatus, codec
from orders.settings import Lifecycle
from servers import start
from twofold import Metadata, Recorded
from twofold.connect import connect
from twofold.overview import overview
from twofold.parked import Parked
from twofold.views import identity

NAME = identity(details)
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    database: str = request.getfixturevalue("postgres_url")
    return database


@pytest.fixture
async def service(store: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[OrderService]:
    """A service with subscribed views, in this process."""
    monkeypatch.setattr("twofold.letters.RETRY_SECONDS", (0.05, 0.05, 0.05))
    async with open_service(store, lifecycle=Lifecycle.SUBSCRIBED, lease_seconds=0.5) as opened:
        yield opened


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], store: str) -> Run:
    """Runs a command to its end, on a thread of this process, with this store and what is typed into it."""

    async def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        with (
            patch.object(sys, "argv", ["orders", *arguments]),
            patch.dict("os.environ", {**WIDE, "TWOFOLD_STORE": store}),
            patch.object(sys, "stdin", io.StringIO(typed)),
            pytest.raises(SystemExit) as left,
        ):
            await asyncio.to_thread(main)
        printed, complained = capsys.readouterr()
        return int(left.value.code or 0), printed, complained

    return run


async def create(service: OrderService, order_id: str, customer: str = "ann") -> None:
    """Create an order of 9.80."""
    await service.commands.execute(CreateOrder(order_id, customer, (Item("p", 1, Decimal("9.80")),), "Road 1"))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def caught_up(service: OrderService) -> None:
    """Wait until all views have reached the head of the log."""

    async def reached() -> bool:
        return all(not status.behind for status in await overview(service.store, service.views))

    await until(reached)


async def stored_status(service: OrderService, order_id: str) -> Status | None:
    """The status that the view has of an order."""
    rows = await service.views.rows(sa.select(details.table.c.status).where(details.table.c.key == order_id))
    return Status(rows[0][0]) if rows else None


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A view that raises for one customer. What this answers mends it."""
    evolve = OrderDetails.evolve

    def raising(self: OrderDetails, view: OrderView | None, recorded: Recorded[OrderEvent], /) -> OrderView | None:
        after = evolve(self, view, recorded)
        if after is not None and after.customer_id == "ALFKI":
            raise ValueError("no customer has five letters")
        return after

    monkeypatch.setattr(OrderDetails, "evolve", raising)
    return lambda: monkeypatch.setattr(OrderDetails, "evolve", evolve)


async def parked_orders(service: OrderService) -> None:
    """Two orders of the customer, with two events each, and one of another; the four are parked and wait."""
    for order_id, customer in (("one", "ALFKI"), ("two", "ALFKI"), ("three", "ann")):
        await create(service, order_id, customer)
        await service.commands.execute(UpdateOrderStatus(order_id, Status.CONFIRMED))

    async def waits() -> bool:
        letters = await Parked(service.store).letters(NAME)
        return len(letters) == 4 and all(letter.retry_at is None for letter in letters)

    await until(waits)


async def test_a_service_in_a_process_of_its_own_is_paused_resumed_and_its_poison_skipped(
    store: str, tmp_path: Path
) -> None:
    with (
        start(store, tmp_path / "log", views="subscribed", view_seconds=0) as server,
    ):
        assert command("projections", "pause", "order_details", "--reason", "a look", "--store", store)[0] == 0
        order = {"customerId": "ann", "items": [{"productId": "p", "quantity": 1, "price": 1}], "shippingAddress": "x"}
        async with httpx.AsyncClient(base_url=server.url) as client:
            created = (await client.post("/orders", json=order)).json()
        async with connect(store) as opened:  # a poison for every view: no order was created there
            event = codec.encode(OrderStatusUpdated(Status.PENDING, Status.CONFIRMED, None), Metadata.new())
            odd = (await opened.append("order-odd", [event], expected=0)).position
        _, printed, _ = command("projections", "--json", "--store", store)
        (told,) = objects(printed)
        states = {status["name"]: (status["state"], status["behind"]) for status in told["projections"]}
        assert states[NAME][0] == "paused"
        assert states[NAME][1] >= 2
        code, printed, _ = command("projections", "resume", NAME, "--store", store)
        assert code == 0
        assert printed.startswith(f"{NAME} resumed at position ")

        async def parked() -> bool:
            return "odd" in command("parked", "order_details", "--json", "--store", store)[1]

        await until(parked)
        code, printed, complained = command("parked", "retry", "order_details", "--store", store)
        assert (code, complained) == (1, "")
        assert printed.startswith("odd  0 folded, 1 left: ValueError: order-odd has no OrderCreated before version 1")
        code, printed, _ = command(
            "parked", "skip", "order_details", str(odd), "--reason", "never made", "--store", store
        )
        assert (code, printed) == (0, f"event {odd} of odd in {NAME} is skipped\n")
        code, printed, _ = command("parked", "retry", "order_details", "--store", store)
        assert (code, printed) == (0, f"Nothing waits in {NAME}\n")
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get(f"/orders/{created['orderId']}")).json()["customerId"] == "ann"


async def test_what_was_parked_is_drained_with_mended_code(
    run: Run, service: OrderService, faulty: Callable[[], None]
) -> None:
    await parked_orders(service)
    assert await stored_status(service, "three") is Status.CONFIRMED
    code, printed, complained = await run("parked", "retry", "order_details")
    assert (code, complained) == (1, "")
    assert printed.splitlines() == [
        "one  0 folded, 2 left: ValueError: no customer has five letters",
        "two  0 folded, 2 left: ValueError: no customer has five letters",
    ]
    faulty()
    code, printed, _ = await run("parked", "retry", NAME, "--position", "2", "--json")
    outcome = json.loads(printed)
    assert code == 0
    assert (outcome["name"], outcome["sequence"], outcome["folded"], outcome["left"]) == (NAME, "one", 2, 0)
    assert await stored_status(service, "one") is Status.CONFIRMED
    assert await stored_status(service, "two") is None
    code, _, complained = await run("parked", "retry", NAME, "--sequence", "one")
    assert (code, complained) == (
        1,
        f"error: nothing is parked in the sequence one of {NAME}\n",
    )
    assert await run("parked", "retry", NAME, "--sequence", "two") == (0, "two  2 folded, 0 left\n", "")
    assert await stored_status(service, "two") is Status.CONFIRMED
    assert await run("parked", "retry", NAME) == (0, f"Nothing waits in {NAME}\n", "")


async def test_all_sequences_are_drained_at_once(run: Run, service: OrderService, faulty: Callable[[], None]) -> None:
    await parked_orders(service)
    faulty()
    code, printed, _ = await run("parked", "retry", "order_details")
    assert (code, printed) == (0, "one  2 folded, 0 left\ntwo  2 folded, 0 left\n")
    assert (await run("parked", "order_details"))[1] == f"Nothing of {NAME} is parked\n"


async def test_a_reset_view_is_folded_again_by_whoever_runs_it(
    run: Run, service: OrderService, faulty: Callable[[], None]
) -> None:
    await parked_orders(service)
    faulty()
    await run("projections", "pause", "order_details", "--reason", "a look")
    code, printed, complained = await run("projections", "reset", "order_details", typed="n\n")
    assert (code, printed) == (1, "")
    assert "Empty order_details and fold the whole log again?" in complained
    code, _, complained = await run("projections", "reset", "order_details")  # nobody is there to be asked
    assert code == 1
    assert "not confirmed, so nothing was done" in complained
    assert len(await Parked(service.store).letters(NAME)) == 4
    code, printed, _ = await run("projections", "reset", "order_details", typed="y\n")
    assert code == 0
    assert printed.startswith(f"{NAME} reset at position ")  # whoever runs it may have begun by now
    await caught_up(service)
    assert await Parked(service.store).letters(NAME) == []
    assert [await stored_status(service, order_id) for order_id in ("one", "two", "three")] == [Status.CONFIRMED] * 3
    code, printed, _ = await run("projections", "reset", "sales", "--yes", "--json")
    assert (code, json.loads(printed)["done"]) == (0, "reset")
    await caught_up(service)
    await create(service, "four")
    await caught_up(service)
    assert await stored_status(service, "four") is Status.PENDING


async def test_inline_views_are_shown_and_cannot_be_paused(run: Run, store: str) -> None:
    async with open_service(store, lifecycle=Lifecycle.INLINE) as service:
        await create(service, "one")
        code, printed, _ = await run("projections", "--check")
        assert code == 0
        assert [line.split()[-2:] for line in printed.splitlines()[1:]] == [["every", "append"]] * 2
        for arguments in (
            ("projections", "pause", "order_details", "--reason", "x"),
            ("projections", "resume", NAME),
            ("projections", "reset", "sales", "--yes"),
            ("parked", "retry", "sales"),
            ("parked", "sales"),
        ):
            code, printed, complained = await run(*arguments)
            assert (code, printed) == (2, "")
            assert "is kept inline: each append folds it in its own transaction" in complained
    _, printed, _ = await run("projections", "--json")
    assert [status["inline"] for status in json.loads(printed)["projections"]] == [True, True]


async def test_a_subscription_without_its_code_is_listed_and_paused_but_not_folded(
    run: Run, service: OrderService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.app.VIEWS", [view for view in service.views.all.values() if view is not details])
    _, printed, _ = await run("projections")
    assert NAME in printed
    assert (await run("projections", "pause", NAME, "--reason", "old"))[0] == 0
    for arguments in (("projections", "reset", NAME, "--yes"), ("parked", "retry", NAME)):
        code, _, complained = await run(*arguments)
        assert code == 2
        assert f"this code has no {NAME}" in complained
    code, _, complained = await run("parked", "retry", "details")
    assert (code, complained) == (
        2,
        f"error: there is no projection named details; there are: {NAME}, sales_v2\n",
    )
