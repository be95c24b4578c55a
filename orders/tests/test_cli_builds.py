"""The commands that build a view beside the one in use, compare, promote, drop and abandon it."""

from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import pytest

from commands import command, objects
from orders.app import OrderService, open_service
from orders.domain import CreateOrder, Item
from orders.settings import Lifecycle
from twofold.sql import Run, Work


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of a store in a file."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=Lifecycle)
async def service(store: str, request: pytest.FixtureRequest) -> AsyncGenerator[OrderService]:
    """A service that runs on that file all the time, in each lifecycle, with one order."""
    async with open_service(store, lifecycle=request.param) as opened:
        await create(opened, "one")
        yield opened


async def create(service: OrderService, order_id: str) -> None:
    items = (Item("p", 3, Decimal("0.10")),)
    receipt = await service.commands.execute(CreateOrder(order_id, "customer", items, {"city": "Riga"}))
    assert await service.watermarks.wait(service.views.all, receipt.position, 20) == 0


def spoil() -> Work[None]:
    yield Run("update order_details_v2 set total = total + 1")


async def test_a_build_is_compared_promoted_and_the_old_dropped(store: str, service: OrderService) -> None:
    await service.store.work(spoil)  # not from outside: a second SQLite in one process would ruin the file
    code, printed, _ = command("build", "order_details", "--store", store)
    # Behind the record that it was asked for, which is in the log as well.
    assert (code, printed[:39]) == (0, "order_details is built up to position 2")
    await create(service, "two")
    code, printed, _ = command("compare", "order_details", "--store", store)
    assert code == 1
    assert printed.startswith("order_details one\n  in use: one, ")
    assert printed.endswith("1 difference (order_details; the log up to position 4)\n")
    code, printed, _ = command("compare", "order_details", "--json", "--store", store)
    assert (code, [row.get("key") or row["differences"] for row in objects(printed)]) == (1, [["one"], 1])
    code, printed, _ = command("promote", "order_details", "--json", "--store", store)
    assert (code, objects(printed)) == (0, [{"view": "order_details", "position": 5}])
    await create(service, "three")
    assert command("verify", "--store", store)[0] == 0
    code, printed, _ = command("drop", "order_details", "--store", store, text="n\n")
    assert (code, printed.strip()) == (1, "")
    assert command("drop", "order_details", "--yes", "--store", store)[1] == "removed: order_details_v2_old\n"
    assert command("drop", "order_details", "--yes", "--store", store)[1] == "order_details has left nothing behind\n"


@pytest.mark.usefixtures("service")
def test_an_error_says_what_to_do(store: str) -> None:
    for name in ("compare", "promote", "abandon"):
        code, printed, complained = command(name, "sales", "--store", store)
        assert (code, printed.strip()) == (1, "")
        assert complained == "error: sales has no build beside it; make one with `orders build sales`\n"
        assert command(name, "nothing", "--store", store)[0] == 2
    assert command("build", "sales", "--store", store)[0] == 0
    code, _, complained = command("compare", "sales", "--version", "7", "--store", store)
    assert (code, complained) == (1, "error: sales_v7 was never built; `--version N` compares with an older version\n")
    assert command("abandon", "sales", "--json", "--store", store)[1] == '{"view":"sales","abandoned":true}\n'
    assert command("promote", "sales", "--store", store)[0] == 1
    assert command("rebuild", "sales", "--resume", "--store", store)[1].startswith("sales rebuilt up to position ")
