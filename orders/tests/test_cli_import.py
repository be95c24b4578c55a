"""Imports straight into a store: each order exactly once, whatever happens in between."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from commands import command, file_of, line, objects, refused, started
from orders.app import open_service
from orders.domain import CancelOrder, Status
from orders.importing import Created, Refused, Summary, import_orders
from twofold.connect import connect


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


async def head(store: str) -> int:
    """How many events the store has."""
    async with connect(store, create=False) as opened:
        return await opened.head()


def is_made(file: Path) -> bool:
    """Whether there is a database in the file: SQLite makes it empty first."""
    return file.exists() and file.stat().st_size > 0


async def test_orders_are_created_and_those_that_ship_are_delivered(tmp_path: Path, store: str) -> None:
    file = file_of(tmp_path / "file", [line(1), line(2, ships=False), '{"order": {}}'.replace("{}", _body(3))])
    code, printed, complained = command("import", file, "--to", store)
    assert (code, complained) == (0, "")
    assert "3 orders created" in printed
    assert "1 orders walked to delivered" in printed
    assert await head(store) == 1 + 3 + 1 + 1


def _body(number: int) -> str:
    return line(number).partition('"order": ')[2][:-1]


async def test_running_it_again_imports_nothing_twice_and_identical_lines_are_orders_of_their_own(
    tmp_path: Path, store: str
) -> None:
    file = file_of(tmp_path / "file", [line(1), line(1), line(2)])
    _, first, _ = command("import", file, "--to", store, "--json")
    code, second, _ = command("import", file, "--to", store, "--json")
    counts: dict[str, object] = {"lines": 3, "created": 3, "alreadyThere": 0, "delivered": 3, "alreadyDelivered": 0}
    counts["refused"] = []
    assert objects(first) == [counts]
    assert code == 0
    assert objects(second) == [
        {**counts, "created": 0, "alreadyThere": 3, "delivered": 0, "alreadyDelivered": 3},
    ]
    assert await head(store) == 12
    _, batch, _ = command("import", file, "--to", store, "--json", "--batch", "again")
    assert objects(batch) == [counts]


async def test_an_order_that_ships_by_now_is_walked_on(tmp_path: Path, store: str) -> None:
    command("import", file_of(tmp_path / "file", [line(1, ships=False)]), "--to", store)
    _, printed, _ = command("import", file_of(tmp_path / "file", [line(1)]), "--to", store, "--json")
    (summary,) = objects(printed)
    assert (summary["created"], summary["alreadyThere"], summary["delivered"]) == (0, 1, 1)


def test_what_is_refused_is_told_with_its_line_and_does_not_stop_the_rest(tmp_path: Path, store: str) -> None:
    deep = '{"order": ' + "[" * 100_000 + "]" * 100_000 + "}"
    lines = [
        line(1),
        "not json",
        "",
        '{"ships": true}',
        '{"order": {"items": [{"productId": "p", "quantity": 0, "price": -1}], "shippingAddress": "x"}}',
        line(2, price="1e99999999999999999999"),
        '{"order": 7, "ships": "perhaps"}',
        '{"order": 7}',
        deep,
        line(3),
    ]
    file = file_of(tmp_path / "file", lines)
    code, printed, _ = command("import", file, "--to", store, "--json")
    (summary,) = objects(printed)
    assert code == 1
    assert (summary["created"], summary["delivered"]) == (2, 2)
    told = {refusal["line"]: refusal["sentences"] for refusal in summary["refused"]}
    assert list(told) == [2, 4, 5, 6, 7, 8, 9]
    assert told[5] == [
        "Customer ID is required",
        "Item 0: Quantity must be at least 1",
        "Item 0: Price must be positive",
    ]
    assert told[8] == ["The body must be a JSON object"]
    assert told[2][0].startswith("The line is not JSON")
    code, printed, _ = command("import", file, "--to", store)
    assert code == 1
    assert "0 orders created, 2 were there already" in printed
    assert "line 5: Customer ID is required; Item 0: Quantity must be at least 1" in printed


def test_a_file_of_something_else_is_not_told_line_by_line(tmp_path: Path, store: str) -> None:
    file = file_of(tmp_path / "file", ["no order"] * 25)
    code, printed, _ = command("import", file, "--to", store)
    assert code == 1
    assert "     25 refused\n" in printed
    assert [text.split(":")[0].strip() for text in printed.splitlines()[3:]] == [
        *(f"line {number}" for number in range(1, 21)),
        "and 5 more; --json prints them all",
    ]
    _, printed, _ = command("import", file, "--to", store, "--json")
    assert len(objects(printed)[0]["refused"]) == 25


async def test_refusals_are_told_in_the_order_of_their_lines_in_whatever_order_they_come(tmp_path: Path) -> None:
    lines = [line(1), "not json", line(3), line(4)]
    waits = {b"customer-1": 0.03, b"customer-3": 0.02, b"customer-4": 0.01}

    class Refusing:
        async def create(self, key: str, order: bytes) -> Created:
            await asyncio.sleep(next(wait for name, wait in waits.items() if name in order))
            raise Refused(["no"])

        async def go_on(self, key: str, order_id: str, status: Status) -> bool:
            raise AssertionError

    summary = Summary()
    await import_orders([text.encode() for text in lines], Refusing(), summary, in_flight=4)
    assert [refusal.line for refusal in summary.refused] == [1, 2, 3, 4]


def test_numbers_are_exact(tmp_path: Path, store: str) -> None:
    file = file_of(tmp_path / "file", [line(1, price="0.10"), line(2, price='"12345678.90"'), line(3, price="33e-2")])
    assert command("import", file, "--to", store, "--currency", "EUR")[0] == 0
    _, printed, _ = command("events", "--store", store, "--json")
    for price in ('"price":"0.10"', '"price":"12345678.90"', '"price":"0.33"'):
        assert price in printed
    streams = [event["stream"] for event in objects(printed) if event["data"].get("customerId") == "customer-2"]
    _, shown, _ = command("show", streams[0].removeprefix("order-"), "--store", store, "--json")
    assert '"totalAmount":37037036.70,"currency":"EUR"' in shown


async def test_the_walk_of_an_order_that_others_cancelled_is_refused(tmp_path: Path, store: str) -> None:
    command("import", file_of(tmp_path / "file", [line(1, ships=False)]), "--to", store)
    async with open_service(store) as service:
        recorded = [event async for event in service.store.read_all()]
        await service.commands.execute(CancelOrder(recorded[0].stream.removeprefix("order-")))
    code, printed, _ = command("import", file_of(tmp_path / "file", [line(1)]), "--to", store, "--json")
    (summary,) = objects(printed)
    assert code == 1
    assert summary["refused"] == [
        {
            "line": 1,
            "sentences": ["Order cannot go from cancelled to confirmed"],
            "orderId": recorded[0].stream.removeprefix("order-"),
        }
    ]


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
async def test_an_import_that_was_broken_off_is_finished_by_running_it_again(
    tmp_path: Path, store: str, blow: signal.Signals
) -> None:
    file = file_of(tmp_path / "file", [line(number % 300) for number in range(600)])
    with started("import", file, "--to", store, "--in-flight", "8") as process:
        deadline = time.monotonic() + 30
        while not is_made(tmp_path / "store.db") or await head(store) < 100:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(blow)
        _, complained = process.communicate(timeout=30)
    if blow is signal.SIGINT:
        assert process.returncode == 130
        assert "The import is not finished" in complained
        assert "Traceback" not in complained
    assert 100 <= await head(store) < 2400
    code, printed, _ = command("import", file, "--to", store, "--json")
    (summary,) = objects(printed)
    assert code == 0
    assert summary["created"] + summary["alreadyThere"] == 600
    assert summary["delivered"] + summary["alreadyDelivered"] == 600
    assert await head(store) == 2400
    assert command("verify", "--store", store)[0] == 0


def test_standard_input_is_a_file_too(store: str) -> None:
    code, printed, _ = command("import", "-", "--to", store, "--json", text=f"{line(1)}\n{line(2)}")
    assert code == 0
    assert objects(printed)[0]["created"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("missing.jsonl",), "missing.jsonl cannot be read"),
        ((".",), ". cannot be read"),
        (("file", "--to", "mysql://x"), "no store has the URL 'mysql://x'"),
        (("file", "--to", "http://"), "it names no host"),
        (("file", "--to", "memory:"), "memory: would forget the orders"),
        (("file", "--to", "memory:", "--in-flight", "0"), "greater than or equal to 1"),
        (("file", "--to", "memory:", "--currency", "dollar"), "the currency must be three capital letters"),
        (("file", "--to", "sqlite:///no/such/folder/x.db"), "cannot be opened"),
    ],
)
def test_a_wrong_usage_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    file_of(tmp_path / "file", [line(1)])
    printed, complained = refused(capsys, tmp_path, "import", *arguments)
    assert printed == ""
    assert sentence in complained
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
