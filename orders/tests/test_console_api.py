"""The console's API over HTTP, of a real server: each answer, each refusal, and who may have what."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from consoles import browser, logins
from order_samples import body
from orders.app import OrderService, open_service
from talking import new_customer, new_key, patch, place, post, problem
from twofold.console.logins import Role

API = "/console/api"


def get(http: httpx.Client, path: str, **parameters: object) -> Any:
    answer = http.get(API + path, params={name.rstrip("_"): str(value) for name, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def refused(http: httpx.Client, path: str, status: int, **parameters: object) -> dict[str, Any]:
    answer = http.get(API + path, params={name.rstrip("_"): str(value) for name, value in parameters.items()})
    return problem(answer, status)


@pytest.fixture
def order(http: httpx.Client) -> str:
    """An order that was confirmed and shipped; the id of its stream."""
    order_id = place(http, customerId=new_customer())
    for status in ("confirmed", "shipped"):
        assert patch(http, order_id, {"status": status, "reason": f"for {status}"}).status_code == 200
    return f"order-{order_id}"


def test_an_order_is_found_and_looked_into(http: httpx.Client, order: str) -> None:
    order_id = order.removeprefix("order-")
    hits = get(http, "/search", text=order_id)["hits"]
    assert {hit["stream"] for hit in hits} == {order}
    first = get(http, "/streams", category="order", limit=1)
    assert first["streams"][0]["stream"] == order
    assert first["streams"][0]["version"] == 3
    found = get(http, "/stream", name=order)
    assert [event["type"] for event in found["events"]] == ["OrderCreated", "OrderStatusUpdated", "OrderStatusUpdated"]
    assert found["version"] == 3
    page = get(http, "/stream", name=order, after=1, limit=1)
    assert (page["events"][0]["version"], page["after"]) == (2, 2)
    assert get(http, "/state", stream=order, version=2)["state"] == {"status": "confirmed"}
    assert get(http, "/state", stream=order)["version"] == 3
    assert get(http, "/diff", stream=order, from_=1, to=3)["changes"] == [
        {"path": "status", "kind": "changed", "before": "pending", "after": "shipped"}
    ]
    explained = get(http, "/explain", stream=order)
    assert [(field["path"], field["setBy"]["version"]) for field in explained["fields"]] == [("status", 3)]
    (row,) = explained["rows"]
    assert {field["path"]: field["setBy"]["version"] for field in row["fields"]}["statusHistory[1].reason"] == 2
    event = found["events"][1]
    for names in ({"position": event["position"]}, {"id": event["id"]}):
        whole = get(http, "/event", **names)
        assert whole["event"]["data"]["newStatus"] == "confirmed"
        assert {took["view"] for took in whole["took"]} == {"order_details", "sales"}
    tree = get(http, "/correlation", id=event["said"]["correlationId"])
    assert (tree["events"], tree["streams"]) == (1, [order])


def test_rows_are_compared_with_a_fresh_fold(http: httpx.Client, order: str) -> None:
    (row,) = get(http, "/rows", stream=order)["rows"]
    while row["behind"]:  # subscribed views come a little later
        assert row["differences"] == []
        (row,) = get(http, "/rows", stream=order)["rows"]
    assert row["differences"] == []
    assert row["stored"] == row["folded"]
    assert row["stored"]["status"] == "shipped"


def test_the_log_is_paged_from_its_end(http: httpx.Client, order: str) -> None:
    page = get(http, "/events", limit=2)
    assert page["events"][0]["stream"] == order
    assert page["before"] == page["events"][-1]["position"]
    rest = get(http, "/events", limit=2, before=page["before"])
    assert rest["events"][0]["position"] < page["before"]
    late = get(http, "/streams", at=(datetime.now(UTC) - timedelta(days=1)).isoformat())
    assert late == {"streams": [], "before": None}
    now = get(http, "/streams", at=(datetime.now(UTC) + timedelta(days=1)).isoformat(), limit=1)
    assert now["streams"][0]["stream"] == order


def test_all_stands_well(http: httpx.Client, order: str) -> None:
    overview = get(http, "/overview")
    assert overview["application"] == "Orders"
    assert overview["trouble"] is None
    assert overview["lastHour"] == overview["head"] > 2
    assert {each["view"] for each in overview["projections"]} == {"order_details", "sales"}
    assert "order" in get(http, "/categories")["categories"]
    model = get(http, "/model")
    assert model["mermaid"].startswith("flowchart")
    assert len(model["drawing"]["nodes"]) > 8


def test_a_command_is_tried_then_sent_then_repeated(http: httpx.Client, order: str) -> None:
    order_id = order.removeprefix("order-")
    names = {form["command"] for form in get(http, "/commands")["commands"]}
    assert names == {"CreateOrder", "UpdateOrderStatus", "CancelOrder"}
    deliver = {"command": "UpdateOrderStatus", "fields": {"order_id": order_id, "status": "delivered"}}
    trial = post(http, f"{API}/commands/try", deliver).json()
    assert [event["type"] for event in trial["events"]] == ["OrderStatusUpdated"]
    assert (trial["refusal"], trial["version"], trial["after"]) == (None, 3, {"status": "delivered"})
    assert get(http, "/stream", name=order)["version"] == 3
    key = new_key()
    sent = post(http, f"{API}/commands/send", deliver | {"key": key}).json()
    assert (sent["stream"], sent["version"], sent["repeated"]) == (order, 4, False)
    again = post(http, f"{API}/commands/send", deliver | {"key": key}).json()
    assert (again["version"], again["repeated"]) == (4, True)
    assert get(http, "/stream", name=order)["events"][3]["said"]["actor"] == "loopback"
    other = {"command": "CancelOrder", "fields": {"order_id": order_id}, "key": key}
    problem(post(http, f"{API}/commands/send", other), 422)
    cancel = {"command": "CancelOrder", "fields": {"order_id": order_id}}
    assert problem(post(http, f"{API}/commands/send", cancel), 409)["refusal"] == "TransitionForbidden"
    assert post(http, f"{API}/commands/try", cancel).json()["refusal"]["type"] == "TransitionForbidden"
    assert post(http, f"{API}/commands/try", cancel | {"version": 1}).json()["refusal"] is None


def test_a_stream_is_exported(http: httpx.Client, order: str) -> None:
    source = post(http, f"{API}/export", {"stream": order}).json()["source"]
    compile(source, "exported.py", "exec")
    assert ".then_state(" in source
    fields = {"order_id": "1"}
    refusing = post(http, f"{API}/export", {"stream": order, "command": "CancelOrder", "fields": fields}).json()[
        "source"
    ]
    assert "then_raises" in refusing
    assert problem(post(http, f"{API}/export", {"stream": "order-nobody"}), 409)["error"]


def test_what_operators_did_is_listed(http: httpx.Client) -> None:
    assert get(http, "/audit", limit=5)["actions"] == [] or get(http, "/audit")["actions"]
    answer = post(http, "/projections/order_details/pause", {"reason": "a look"})
    if answer.status_code == 204:  # inline views cannot be paused
        assert post(http, "/projections/order_details/resume", {}).status_code == 204
        resume, pause = get(http, "/audit", limit=2)["actions"]
        assert (pause["who"], pause["way"], pause["what"], pause["reason"]) == ("loopback", "api", "pause", "a look")
        assert (resume["what"], resume["outcome"], resume["failed"]) == ("resume", "", False)
        assert "operator" in get(http, "/categories")["categories"]


@pytest.mark.parametrize(
    ("path", "status", "parameters"),
    [
        ("/stream", 404, {"name": "order-nobody"}),
        ("/stream", 400, {}),
        ("/stream", 400, {"name": "a\0b"}),
        ("/stream", 400, {"name": "x" * 501}),
        ("/stream", 400, {"name": "order-1", "after": -1}),
        ("/streams", 400, {"limit": 1001}),
        ("/streams", 400, {"limit": 0}),
        ("/streams", 400, {"at": "yesterday"}),
        ("/streams", 400, {"unknown": 1}),
        ("/state", 400, {"stream": "order-1", "version": "x"}),
        ("/state", 400, {"version": 1}),
        ("/diff", 400, {"stream": "order-1", "from_": 1}),
        ("/event", 404, {}),
        ("/event", 404, {"position": 1, "id": str(uuid4())}),
        ("/event", 400, {"position": 0}),
        ("/event", 404, {"position": 10**17}),
        ("/event", 404, {"id": str(uuid4())}),
        ("/event", 400, {"id": "no uuid"}),
        ("/correlation", 400, {}),
        ("/search", 400, {}),
    ],
)
def test_bad_input_is_told_as_such(http: httpx.Client, path: str, status: int, parameters: dict[str, object]) -> None:
    refused(http, path, status, **parameters)


@pytest.mark.parametrize(
    ("path", "status", "sent"),
    [
        ("/commands/try", 404, {"command": "Nothing", "fields": {}}),
        ("/commands/try", 422, {"command": "CancelOrder", "fields": {}}),
        ("/commands/try", 422, {"command": "CancelOrder", "fields": {"order_id": 7}}),
        ("/commands/try", 422, {"command": "CancelOrder", "fields": {"order_id": "a\0b"}}),
        ("/commands/try", 400, {"command": "CancelOrder", "fields": {"order_id": "1"}, "more": 1}),
        ("/commands/try", 400, {"command": "CancelOrder", "fields": {"order_id": "1"}, "version": -1}),
        ("/commands/try", 400, {"command": "CancelOrder", "fields": [1]}),
        ("/commands/try", 400, []),
        ("/commands/send", 422, {"command": "CreateOrder", "fields": {"order_id": "1", "customer_id": "", "items": [],
                                                                     "shipping_address": "x"}}),
        ("/commands/send", 409, {"command": "CancelOrder", "fields": {"order_id": "nobody"}}),
        ("/commands/send", 422, {"command": "CancelOrder", "fields": {"order_id": "a\0b"}}),
        ("/commands/send", 400, {"command": "CancelOrder", "fields": {"order_id": "1"}, "key": "\n"}),
        ("/export", 400, {"stream": "order-a\0b"}),
        ("/export", 400, {}),
        ("/export", 404, {"stream": "order-1", "command": "Nothing"}),
    ],
)  # fmt: skip
def test_bad_bodies_are_told_as_such(http: httpx.Client, path: str, status: int, sent: object) -> None:
    if path == "/export":
        post(http, f"{API}/commands/send", {"command": "CreateOrder", "fields": creation("1"), "key": "export"})
    problem(post(http, API + path, sent), status)


def creation(order_id: str) -> dict[str, object]:
    made = body()
    items: list[dict[str, object]] = made["items"]
    return {
        "order_id": order_id,
        "customer_id": "alice",
        "items": [{**item, "price": str(item["price"])} for item in items],
        "shipping_address": "1 Main Street",
    }


def test_hostile_texts_are_looked_for_and_found_nowhere(http: httpx.Client) -> None:
    for text in ("' or 1=1 --", "<script>", "\u202e", "%_", "9" * 18, "9" * 19, "\x7f", "*", '"', "a@1", "@", "1e9"):
        assert isinstance(get(http, "/search", text=text)["hits"], list)


# --- who may ---------------------------------------------------------------------------------------------------------

READS = [
    "/overview", "/categories", "/streams", "/events", "/stream?name=order-1", "/state?stream=order-1",
    "/diff?stream=order-1&from=0&to=1", "/explain?stream=order-1", "/rows?stream=order-1", "/event?position=1",
    "/correlation?id=00000000-0000-0000-0000-000000000000", "/search?text=1", "/model", "/audit", "/commands",
]  # fmt: skip
CHANGES = [
    ("/commands/try", {"command": "CancelOrder", "fields": {"order_id": "1"}}, Role.PAYLOADS),
    ("/export", {"stream": "order-1"}, Role.PAYLOADS),
    ("/commands/send", {"command": "CancelOrder", "fields": {"order_id": "1"}}, Role.OPERATE),
]


@pytest.fixture
async def opened() -> AsyncGenerator[OrderService]:
    async with open_service("memory:") as service:
        yield service


async def test_each_operation_needs_its_role(opened: OrderService, tmp_path: Path) -> None:
    users = logins(tmp_path, ann=Role.SEE, bob=Role.PAYLOADS, eve=Role.OPERATE)
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        for path in READS:
            assert (await http.get(API + path)).status_code == 401, path
        for path, sent, _ in CHANGES:
            assert (await http.post(API + path, json=sent)).status_code == 401, path
        for name, role in (("ann", Role.SEE), ("bob", Role.PAYLOADS), ("eve", Role.OPERATE)):
            bearer = {"Authorization": f"Bearer {name}:{name}"}
            for path in READS:
                assert (await http.get(API + path, headers=bearer)).status_code in (200, 404), path
            for path, sent, needed in CHANGES:
                answer = await http.post(API + path, json=sent, headers=bearer)
                assert (answer.status_code == 403) == (role < needed), (name, path, answer.text)
            assert (await http.get(API + "/audit", headers={"Authorization": f"Bearer {name}:wrong"})).status_code in (
                401,
                429,
            )


async def test_without_logins_nothing_is_served_to_others(opened: OrderService) -> None:
    async with browser(opened, host="192.0.2.1") as http:
        for path in READS:
            assert (await http.get(API + path)).status_code == 403, path


async def test_a_page_of_another_site_cannot_send_a_command(opened: OrderService) -> None:
    async with browser(opened) as http:
        for path, sent, _ in CHANGES:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
                assert (await http.post(API + path, json=sent, headers=headers)).status_code == 403, path
        assert (await http.get(API + "/audit", headers={"Host": "evil.example"})).status_code == 403
