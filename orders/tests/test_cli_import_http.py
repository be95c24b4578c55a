"""Imports through the HTTP API: into a real service, and into one that plays unwell."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from commands import command, file_of, line, objects, serving, started
from orders import destinations
from orders.destinations import ServiceDestination
from orders.domain import Status
from orders.importing import Created, ImportStopped, Refused
from servers import free_port


def test_a_file_goes_in_once_through_the_service_and_through_the_store(tmp_path: Path) -> None:
    store, port = f"sqlite:///{tmp_path / 'store.db'}", free_port()
    file = file_of(
        tmp_path / "file",
        [line(1, price="0.10"), line(1, price="0.10"), line(2, ships=False), "{", line(-1, price="0")],
    )
    to = f"http://127.0.0.1:{port}"
    with serving(store, port):
        first = command("import", file, "--to", to, "--json")
        again = command("import", file, "--to", to, "--json")
        beside = command("import", file, "--to", store, "--json")
        (order,) = httpx.get(f"{to}/customers/customer-2/orders").json()["orders"]
        assert order["totalAmount"] == 29.4
        text = httpx.get(f"{to}/orders?q=customer-1").text
        assert text.count('"totalAmount":0.30') == 2
    assert (first[0], again[0], beside[0]) == (1, 1, 1)
    (summary,) = objects(first[1])
    assert (summary["created"], summary["delivered"]) == (3, 2)
    assert summary["refused"][1] == {"line": 5, "sentences": ["Item 0: Price must be positive"], "orderId": None}
    repeated = {**summary, "created": 0, "delivered": 0, "alreadyThere": 3, "alreadyDelivered": 2}
    assert objects(again[1]) == [repeated]
    assert objects(beside[1]) == [repeated]  # the same keys with the same fingerprints
    assert command("verify", "--store", store)[0] == 0


def test_a_service_that_is_killed_and_started_again_is_waited_for(tmp_path: Path) -> None:
    store, port = f"sqlite:///{tmp_path / 'store.db'}", free_port()
    file = file_of(tmp_path / "file", [line(number) for number in range(300)])
    to = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        service = stack.enter_context(serving(store, port))
        process = stack.enter_context(started("import", file, "--to", to, "--json"))
        while httpx.get(f"{to}/dashboard").json()["totalOrders"] < 50:
            assert process.poll() is None
        service.kill()
        service.wait()
        stack.enter_context(serving(store, port))
        printed, _ = process.communicate(timeout=60)
        (summary,) = objects(printed)
        assert process.returncode == 0
        assert summary["created"] + summary["alreadyThere"] == 300
        assert summary["delivered"] + summary["alreadyDelivered"] == 300
    _, events, _ = command("events", "--store", store, "--json")
    assert len(objects(events)) == 1200
    assert command("verify", "--store", store)[0] == 0


def test_no_service_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = file_of(tmp_path / "file", [line(1)])
    code, printed, complained = command("import", file, "--to", f"http://127.0.0.1:{free_port()}", "--json")
    assert code == 1
    assert objects(printed)[0]["created"] == 0
    assert "does not answer" in complained
    assert "The import is not finished" in complained


# --- a service that plays unwell ------------------------------------------------------------------------------------

Answer = httpx.Response | Exception


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """What was asked; waits are short."""
    monkeypatch.setattr(destinations, "WAITS", (0.0, 0.0, 0.0))
    return []


def playing(answers: Iterator[Answer], requests: list[httpx.Request]) -> ServiceDestination:
    """A service that gives these answers in turn."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ServiceDestination([httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://service")])


def created(**headers: str) -> httpx.Response:
    """The answer to a new order."""
    return httpx.Response(201, json={"orderId": "one"}, headers=headers)


async def test_the_order_is_sent_byte_for_byte_with_its_key(requests: list[httpx.Request]) -> None:
    order = b'{"items": [ {"price": 1234567890123456789.000000000000000001} ]}'
    assert await playing(iter([created()]), requests).create("key", order) == Created("one", False)
    (request,) = requests
    assert (request.method, request.url.path, request.content) == ("POST", "/orders", order)
    assert request.headers["Idempotency-Key"] == "key"


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("too slow"),
        lambda: httpx.RemoteProtocolError("broke off"),
        lambda: httpx.Response(503, headers={"Retry-After": "0"}),
        lambda: httpx.Response(429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        lambda: httpx.Response(503, headers={"Retry-After": "soon"}),
    ],
    ids=["refused", "timeout", "broken", "busy", "too many", "unreadable"],
)
async def test_the_same_request_is_sent_again(requests: list[httpx.Request], trouble: Callable[[], Answer]) -> None:
    answers = iter([trouble(), trouble(), created(**{"Idempotent-Replayed": "true"})])
    assert await playing(answers, requests).create("key", b"{}") == Created("one", True)
    assert [request.headers["Idempotency-Key"] for request in requests] == ["key"] * 3


async def test_retry_after_is_obeyed(requests: list[httpx.Request]) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "1"})
    began = time.monotonic()
    await playing(iter([busy, created()]), requests).create("key", b"{}")
    assert time.monotonic() - began >= 1


async def test_patience_has_an_end(requests: list[httpx.Request]) -> None:
    with pytest.raises(ImportStopped, match="http://service does not answer: refused"):
        await playing(iter([httpx.ConnectError("refused")] * 9), requests).create("key", b"{}")
    assert len(requests) == 4


async def test_a_refusal_is_not_sent_again(requests: list[httpx.Request]) -> None:
    problem = {"error": "Order cannot go from cancelled to confirmed", "status": 409}
    with pytest.raises(Refused, match="Order cannot go from cancelled to confirmed"):
        await playing(iter([httpx.Response(409, json=problem)]), requests).go_on("key", "one", Status.CONFIRMED)
    with pytest.raises(Refused, match="The service answered 404 Not Found"):
        await playing(iter([httpx.Response(404, text="<html>")]), requests).create("key", b"{}")
    assert len(requests) == 2


async def test_what_is_no_order_service_stops_the_import(requests: list[httpx.Request]) -> None:
    with pytest.raises(ImportStopped, match="http://service does not answer like an order service"):
        await playing(iter([httpx.Response(200, text="Welcome!")]), requests).create("key", b"{}")
