"""The commands that serve, show, list, rebuild and verify, as the processes that people start."""

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import command, objects, refused, started
from orders.app import OrderService, open_service
from orders.cli import app
from orders.domain import CreateOrder, Item, OrderCreated, Status, UpdateOrderStatus, codec
from orders.settings import Settings
from twofold import Metadata


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of a store in a file."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
async def service(store: str) -> AsyncGenerator[OrderService]:
    """A service that runs on that file all the time, with one order that is confirmed."""
    async with open_service(store) as opened:
        await create(opened, "one")
        await opened.commands.execute(UpdateOrderStatus("one", Status.CONFIRMED, "Paid"))
        yield opened


async def create(service: OrderService, order_id: str) -> None:
    """Create an order of 0.30."""
    items = (Item("p", 3, Decimal("0.10")),)
    await service.commands.execute(CreateOrder(order_id, "customer", items, {"street": "Road 1", "city": "Riga"}))


@pytest.mark.usefixtures("service")
def test_show_prints_the_order_with_its_history(store: str) -> None:
    code, printed, complained = command("show", "one", "--store", store)
    assert (code, complained) == (0, "")
    for text in ("confirmed", "customer", "Road 1, Riga", "0.30 USD", "Unknown Product", "Order created", "Paid"):
        assert text in printed


@pytest.mark.usefixtures("service")
def test_show_prints_an_earlier_version_and_exact_json(store: str) -> None:
    code, printed, _ = command("show", "one", "--store", store, "--version", "1", "--json")
    (order,) = objects(printed)
    assert code == 0
    assert (order["status"], order["version"], len(order["statusHistory"])) == ("pending", 1, 1)
    assert '"price":0.10,"subtotal":0.30' in printed


@pytest.mark.usefixtures("service")
def test_what_is_not_there_is_told_in_a_sentence(store: str) -> None:
    assert command("show", "two", "--store", store) == (1, "", f"error: there is no order two in {store}\n")
    code, _, complained = command("show", "one", "--version", "3", "--store", store)
    assert (code, complained) == (1, "error: order one has no version 3 yet; it is at version 2\n")
    assert command("events", "two", "--store", store)[0] == 1
    code, _, complained = command("rebuild", "orders", "--store", store)
    assert code == 2
    assert "there is no projection named orders; there are: order_details, sales" in complained


@pytest.mark.usefixtures("service")
def test_events_lists_the_log_and_streams(store: str) -> None:
    code, printed, _ = command("events", TWOFOLD_STORE=store)
    assert code == 0
    assert [text.split()[5] for text in printed.splitlines()] == ["OrderCreated", "OrderStatusUpdated"]
    _, printed, _ = command("events", "one", "--after", "1", "--json", "--store", store)
    (event,) = objects(printed)
    assert (event["position"], event["stream"], event["version"]) == (2, "order-one", 2)
    assert event["data"] == {"previousStatus": "pending", "newStatus": "confirmed", "reason": "Paid"}
    _, printed, _ = command("events", "--limit", "1", "--json", "--store", store)
    assert [event["type"] for event in objects(printed)] == ["OrderCreated"]
    assert '"price":"0.10"' in printed
    assert command("events", "--after", "2", "--store", store) == (0, "", "")


async def test_follow_sees_what_other_processes_append_until_it_is_interrupted(
    store: str, service: OrderService
) -> None:
    with (
        started("events", "--follow", "--json", "--store", store) as log,
        started("events", "two", "--follow", "--json", "--store", store) as stream,
    ):
        assert log.stdout is not None
        assert stream.stdout is not None
        assert [objects(log.stdout.readline())[0]["position"] for _ in range(2)] == [1, 2]
        await create(service, "two")
        await service.commands.execute(UpdateOrderStatus("one", Status.SHIPPED))
        await service.commands.execute(UpdateOrderStatus("two", Status.CONFIRMED))
        assert [objects(log.stdout.readline())[0]["position"] for _ in range(3)] == [3, 4, 5]
        assert [objects(stream.stdout.readline())[0]["position"] for _ in range(2)] == [3, 5]
        for process in (log, stream):
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert process.stderr is not None
            assert process.stderr.read() == ""


async def test_views_are_rebuilt_and_verified_beside_a_running_service(
    tmp_path: Path, store: str, service: OrderService
) -> None:
    code, printed, _ = command("rebuild", "--store", store)
    # What an operator does is in the log too: that it was asked for, and how it ended.
    assert (code, printed) == (0, "order_details rebuilt up to position 3\nsales rebuilt up to position 5\n")
    await create(service, "two")  # the service goes on with the new tables
    code, printed, _ = command("verify", "--json", "--store", store)
    assert code == 0
    assert objects(printed) == [{"views": ["order_details", "sales"], "position": 7, "differences": 0}]

    with closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
        database.execute("update order_details_v2 set total = total + 1 where key = 'two'")
    code, printed, _ = command("verify", "--store", store)
    assert code == 1
    assert printed.startswith("order_details two\n  stored: two, ")
    assert "1 difference" in printed
    code, printed, _ = command("verify", "--json", "--store", store)
    assert code == 1
    assert [row.get("view") or row["differences"] for row in objects(printed)] == ["order_details", 1]
    code, printed, _ = command("rebuild", "order_details", "--json", "--store", store)
    assert objects(printed) == [{"view": "order_details", "position": 8}]
    assert command("verify", "--store", store)[0] == 0


async def test_verify_says_that_a_view_was_never_built_and_rebuild_builds_it(tmp_path: Path, store: str) -> None:
    async with open_service(store) as service:
        await create(service, "one")
    with closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
        database.execute("drop table order_details_v2")
        database.execute("delete from checkpoint where name = 'order_details_v2'")
    code, _, complained = command("verify", "--store", store)
    assert code == 1
    assert "order_details_v2 was never built; build it with" in complained
    assert command("rebuild", "order_details", "--store", store)[0] == 0
    assert command("verify", "--store", store)[0] == 0


async def test_stored_text_cannot_change_the_terminal(store: str) -> None:
    async with open_service(store) as service:  # past the validation, as an older version may have stored it
        event = OrderCreated("customer", (Item("p", 1, Decimal(1), "\x1b[31mred"),), "Road \x9b1m", "USD")
        await service.store.append("order-odd", [codec.encode(event, Metadata.new())], expected=0)
    for arguments in (("show", "odd"), ("events",)):
        code, printed, _ = command(*arguments, "--store", store)
        assert code == 0
        assert "\x1b" not in printed
        assert "\x9b" not in printed


@pytest.mark.parametrize("arguments", [("show", "one"), ("events",), ("events", "--follow"), ("rebuild",), ("verify",)])
def test_a_typo_in_the_store_makes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    told = refused(capsys, tmp_path, *arguments, "--store", "sqlite:///typo.db")
    assert told == ("", "error: there is no store at typo.db\n")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("no database" * 100, "x", ""):
        (tmp_path / "text.db").write_text(content)
        _, complained = refused(capsys, tmp_path, "verify", "--store", "sqlite:///text.db")
        assert complained == "error: text.db is not a SQLite file\n"
        assert (tmp_path / "text.db").read_text() == content
    _, complained = refused(capsys, tmp_path, "events", "--store", "memory:")
    assert complained.startswith("error: memory: keeps nothing")


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (("--currency", "usd"), {}, "the currency must be three capital letters (ISO 4217), not 'usd'"),
        (("--port", "70000"), {}, "the port must be from 0 to 65535, not 70000"),
        ((), {"TWOFOLD_PORT": "http"}, "TWOFOLD_PORT"),
        ((), {"TWOFOLD_STOP_SECONDS": "0"}, "limits must be greater than zero"),
        (("--host", "8.8.8.8"), {}, "cannot listen on 8.8.8.8, port 3000"),
        (("--console-logins", "nosuch"), {}, "the logins cannot be read from nosuch: No such file or directory"),
    ],
)
def test_serve_refuses_bad_settings(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
) -> None:
    _, complained = refused(capsys, tmp_path, "serve", *arguments, **environment)
    assert sentence in complained
    assert list(tmp_path.iterdir()) == []


def test_serve_says_that_its_port_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, complained = refused(capsys, tmp_path, "serve", "--port", str(port))
    assert complained == f"error: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_a_flag_and_a_variable_with_its_default() -> None:
    shown = " ".join(CliRunner().invoke(app, ["serve", "--help"]).output.split())
    defaults = Settings()
    for name in Settings.__struct_fields__:
        if name == "console_secret":  # a command line can be read by all who are on the machine
            assert "secret" not in shown
            continue
        assert f"--{name.replace('_', '-')} " in shown
        default = getattr(defaults, name)
        told = "" if default in (None, "") else f"; default: {default}]"
        assert f"[env var: TWOFOLD_{name.upper()}{told}" in shown


def test_a_start_does_not_wait_for_what_only_pages_and_metrics_need() -> None:
    program = """
import asyncio, sys
from orders.app import open_service
from orders.asgi import application
from orders.settings import Settings

async def main():
    async with open_service("memory:") as service:
        application(service, Settings(console=True, desk=True, metrics=True))
    print(sorted({"jinja2", "prometheus_client"} & sys.modules.keys()))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_printed() -> None:
    assert command("--version") == (0, f"orders {version('orders')}\n", "")


def test_help_names_every_command() -> None:
    code, printed, _ = command("--help")
    assert code == 0
    for name in ("serve", "import", "show", "events", "rebuild", "verify"):
        assert f"\n  {name} " in printed
