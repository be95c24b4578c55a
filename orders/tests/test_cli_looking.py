"""The commands that look into a log, with the code of the orders and without: what they say is what happened."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import msgspec
import pytest

import orders.cli
import twofold.cli
from orders.app import open_service
from orders.domain import CreateOrder, Item, Status, UpdateOrderStatus
from orders.domain import orders as orders_of_the_domain
from orders.settings import Lifecycle
from poison import Poison
from twofold import Metadata
from twofold.cli.tailing import Cap

HOSTILE = "[red]\x1b[31m\r\u202eEvil[/] " + "x" * 5_000
CORRELATION = Metadata.new()
ITEMS = (Item("chai", 2, Decimal("18.10")),)

Terminal: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A store with two orders, one of them from a customer who means no good."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with open_service(url) as service:
        for number, street in (("7", "Main Street"), ("8", HOSTILE)):
            create = CreateOrder(number, "ALFKI", ITEMS, {"street": street})
            metadata = CORRELATION if number == "7" else Metadata.new()
            await orders_of_the_domain.transact(service.store, create, metadata)  # past all validation
        for status in (Status.CONFIRMED, Status.SHIPPED):
            metadata = msgspec.structs.replace(CORRELATION.caused(), actor="ann")
            await service.commands.execute(UpdateOrderStatus("7", status, "it was [bold]paid"), metadata)
    return url


@pytest.fixture
def terminal(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Runs `orders ...`, or `twofold ...`, on that store, on a thread of this process."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TWOFOLD_STORE", url)

    def run(program: str, *arguments: str) -> int:
        with patch.object(sys, "argv", [program, *arguments]):
            try:
                (orders.cli if program == "orders" else twofold.cli).main()
            except SystemExit as left:
                return left.code if isinstance(left.code, int) else 1
        return 0

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, *arguments)
        printed, complained = capsys.readouterr()
        return code, printed, complained

    return command


def words(printed: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in printed.splitlines()]


async def answer(terminal: Terminal, *arguments: str) -> Any:
    """What a command prints as JSON."""
    code, printed, complained = await terminal(*arguments, "--json")
    assert (code, complained) == (0, "")
    return json.loads(printed)


async def test_streams_are_listed_by_activity(terminal: Terminal) -> None:
    code, printed, _ = await terminal("twofold", "streams")
    assert code == 0
    assert [line[:3] for line in words(printed)[1:]] == [
        ["order-7", "3", "OrderStatusUpdated"],
        ["order-8", "1", "OrderCreated"],
    ]
    page = await answer(terminal, "twofold", "streams", "--limit", "1", "--category", "order")
    assert ([stream["stream"] for stream in page["streams"]], page["before"]) == (["order-7"], 4)
    page = await answer(terminal, "twofold", "streams", "--before", "3")
    assert [stream["stream"] for stream in page["streams"]] == ["order-8"]
    assert (await answer(terminal, "twofold", "streams", "--at", "2001-01-01"))["streams"] == []
    code, _, complained = await terminal("twofold", "streams", "--at", "noon")
    assert (code, "noon is no time" in complained) == (2, True)


async def test_a_stream_is_shown_with_its_events(terminal: Terminal) -> None:
    code, printed, _ = await terminal("twofold", "show", "order-7")
    assert code == 0
    assert words(printed)[0] == ["order-7", "version", "3"]
    assert "it was [bold]paid" in printed
    assert " ann " in printed
    event = await answer(terminal, "twofold", "show", "order-7", "--version", "2")
    assert (event["type"], event["said"]["actor"]) == ("OrderStatusUpdated", "ann")
    code, _, complained = await terminal("twofold", "show", "order-77")
    assert (code, complained) == (1, "error: there is no stream order-77; did you mean order-7 or order-8?\n")


async def test_hostile_data_is_only_text(terminal: Terminal) -> None:
    commands = (
        ("twofold", "show", "order-8"),
        ("twofold", "show", "order-8", "--version", "1"),
        ("twofold", "--app", "orders.app:MODEL", "explain", "8"),
        ("twofold", "tail", "--after", "0", "--limit", "2"),
        ("twofold", "events"),
    )
    for arguments in commands:
        code, printed, complained = await terminal(*arguments)
        assert (code, complained) == (0, "")
        assert "[red]" in printed
        assert not {"\x1b", "\r", "\u202e"} & set(printed)


async def test_states_and_differences_are_those_of_the_fold(terminal: Terminal) -> None:
    statuses = ["pending", "confirmed", "shipped"]
    for version, status in enumerate(statuses, start=1):
        found = await answer(terminal, "orders", "state", "7", "--at", str(version))
        assert (found["stream"], found["version"], found["state"]["status"]) == ("order-7", version, status)
    code, printed, _ = await terminal("orders", "diff", "7", "1", "3")
    assert code == 0
    assert ["status", "changed", '"pending"', '"shipped"'] in words(printed)
    code, _, complained = await terminal("orders", "state", "7", "--at", "4")
    assert (code, complained) == (1, "error: order-7 has no version 4 yet; it is at version 3\n")
    code, printed, _ = await terminal("twofold", "--app", "orders.app:MODEL", "state", "order-7")
    assert (code, words(printed)) == (0, [["order-7", "after", "version", "3"], ["status", '"shipped"']])


async def test_each_field_is_explained(terminal: Terminal) -> None:
    found = await answer(terminal, "orders", "explain", "7")
    set_by = {field["path"]: field["setBy"]["version"] for field in found["fields"]}
    assert set_by == {"status": 3}
    (row,) = [row for row in found["rows"] if row["view"] == "order_details"]
    fields = {field["path"]: field for field in row["fields"]}
    assert fields["totalAmount"]["setBy"]["version"] == 1
    assert fields["statusHistory[1].status"]["setBy"]["version"] == 2
    assert fields["status"]["setBy"]["actor"] == "ann"
    code, printed, _ = await terminal("orders", "explain", "7", "--at", "2")
    assert code == 0
    assert ["status", '"confirmed"', "2", "OrderStatusUpdated"] in [line[:4] for line in words(printed)]


async def test_a_correlation_is_traced_from_any_id_in_it(terminal: Terminal) -> None:
    id = str(CORRELATION.message_id)
    code, printed, _ = await terminal("twofold", "trace", id)
    assert code == 0
    assert "3 events of 3 messages in 1 stream" in printed
    assert printed.count("by ann") == 2
    event = await answer(terminal, "twofold", "show", "order-7", "--version", "3")
    for other in (event["id"], event["said"]["messageId"]):
        assert (await answer(terminal, "twofold", "trace", other))["id"] == id
    stranger = str(Metadata.new().message_id)
    code, printed, complained = await terminal("twofold", "trace", stranger)
    assert (code, printed) == (1, "")
    assert complained.startswith(f"error: nothing in this log came of {stranger}: it is the id of no correlation")
    assert (await terminal("twofold", "trace", "order-7"))[0] == 2


async def test_a_text_leads_to_what_it_names(terminal: Terminal) -> None:
    code, printed, _ = await terminal("orders", "search", "7")
    assert code == 0
    assert "show order-7" in printed
    assert (await terminal("orders", "show", "order-7"))[0] == 0  # where it leads
    code, printed, _ = await terminal("orders", "search", "Main")
    assert (code, "order_details: 7" in printed) == (0, True)
    assert await terminal("twofold", "search", "nobody") == (1, "", "error: nothing is named 'nobody'\n")


async def test_the_model_is_drawn(terminal: Terminal) -> None:
    code, printed, _ = await terminal("orders", "model")
    assert code == 0
    assert ["event", "OrderStatusUpdated", "order_details,", "sales", "2"] in words(printed)
    code, printed, _ = await terminal("orders", "model", "--mermaid")
    assert (code, printed.splitlines()[0]) == (0, "flowchart LR")
    names = {node["name"] for node in (await answer(terminal, "twofold", "model"))["nodes"]}
    assert names == {"OrderCreated", "OrderStatusUpdated"}


async def test_the_tail_is_filtered_and_capped(terminal: Terminal) -> None:
    code, printed, _ = await terminal("twofold", "tail", "--after", "0", "--actor", "ann", "--limit", "2", "--json")
    assert code == 0
    assert [json.loads(line)["version"] for line in printed.splitlines()] == [2, 3]
    code, printed, _ = await terminal("twofold", "tail", "--after", "2", "--type", "OrderStatusUpdated", "--limit", "1")
    assert (code, words(printed)[0][3:6]) == (0, ["order-7", "2", "OrderStatusUpdated"])


def test_a_cap_says_what_it_left_out() -> None:
    now = [100.0]
    cap = Cap(2, lambda: now[0])
    assert [cap.passes() for _ in range(5)] == [True, True, False, False, False]
    assert cap.over() is None
    now[0] += 1.0
    assert cap.over() == 3
    assert cap.passes()


async def test_what_needs_code_says_how_to_name_it(terminal: Terminal) -> None:
    for arguments in (("state", "order-7"), ("explain", "order-7"), ("rebuild",), ("verify",)):
        code, _, complained = await terminal("twofold", *arguments)
        assert code == 2
        assert complained.endswith("with TWOFOLD_APP\n")
    for named, why in (
        ("orders.app", "say MODULE:NAME"),
        ("orders.app:VIEWS", "is no twofold.model.Model"),
        ("nowhere.app:MODEL", "there is no module nowhere.app here"),
    ):
        code, _, complained = await terminal("twofold", "--app", named, "state", "order-7")
        assert (code, why in complained) == (2, True)
    assert (await terminal("twofold", "--app", "orders.app:MODEL", "verify"))[0] == 0


async def test_what_is_parked_is_found_understood_and_drained(
    terminal: Terminal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the terminal alone, beside the running service, until the read side is whole again."""
    poison = Poison(monkeypatch)
    poison.orders.add("7")
    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED) as service:
        last = await service.commands.execute(UpdateOrderStatus("7", Status.DELIVERED), Metadata.new())
        late = await service.commands.execute(CreateOrder("9", "ANTON", ITEMS, {"city": "Riga"}), Metadata.new())
        assert await service.watermarks.wait(service.views.all, late.position, 20) == 0

        # It is found: something is wrong, and where.
        code, printed, _ = await terminal("orders", "doctor")
        assert code == 1
        assert "parked: 1 event of 1 sequence" in printed
        assert (await terminal("orders", "projections", "--check"))[0] == 1
        code, printed, _ = await terminal("orders", "parked")
        assert code == 0
        assert [line[:4] for line in words(printed)[2:]] == [["7", str(last.position), "1", "1"]]

        # It is understood: which event, of what, and why; what the order is, and what the row was to become.
        code, printed, _ = await terminal("orders", "parked", "show", "order_details", str(last.position))
        assert (code, "this cannot be folded" in printed, "order-7" in printed) == (0, True, True)
        code, printed, _ = await terminal("orders", "diff", "7", "3", "4")
        assert (code, ["status", "changed", '"shipped"', '"delivered"'] in words(printed)) == (0, True)
        code, printed, _ = await terminal("orders", "retry", "order_details")
        assert (code, "0 folded, 1 left: RuntimeError: this cannot be folded" in printed) == (1, True)

        # Its code is mended, and it drains.
        poison.orders.clear()
        code, printed, _ = await terminal("orders", "retry", "order_details")
        assert (code, printed) == (0, "7  1 folded, 0 left\n")
        assert await terminal("orders", "parked") == (0, "Nothing is parked\n", "")
        assert (await terminal("orders", "projections", "--check"))[0] == 0
        assert (await terminal("orders", "doctor"))[0] == 0
    code, printed, _ = await terminal("orders", "verify")
    assert (code, printed.startswith("No difference")) == (0, True)
