"""The logs of a running service in JSON: every line is an object, and none has what is nobody's business."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from order_samples import body
from orders.serve import _without_password  # pyright: ignore[reportPrivateUsage]  # what it is for shows in one line
from orders.settings import LogFormat, SettingRefused, Settings
from servers import start
from talking import JSON, encode


@pytest.mark.parametrize("processes", [1, 2])
def test_every_line_is_an_object(processes: int, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with start(store, tmp_path / "log", log="json", processes=processes) as server:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            order = client.post("/orders", content=encode(body(customerId="Ms. Nobody")), headers=JSON).json()[
                "orderId"
            ]
            refused = client.patch(f"/orders/{order}/status", json={"status": "delivered"})
            assert refused.status_code == 409
            client.get("/customers/Ms.%20Nobody%0AINFO/orders")
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.output.splitlines()]
    assert all({"time", "level", "logger", "process", "message"} <= line.keys() for line in lines)
    (of_command,) = [line for line in lines if line["logger"] == "twofold.messages"]
    assert of_command["message"] == "UpdateOrderStatus refused (TransitionForbidden)"
    assert of_command.keys() >= {"correlation_id", "message_id", "milliseconds"}
    access = [line for line in lines if line["logger"] == "twofold.access"]
    assert {("POST", 201), ("PATCH", 409), ("GET", 200)} <= {(line["method"], line["status"]) for line in access}
    (of_request,) = [line for line in access if line["method"] == "PATCH"]
    assert of_request["correlation_id"] == of_command["correlation_id"]
    assert all(("correlation_id" in line) == (line["method"] != "GET") for line in access)
    assert "Nobody" not in server.output
    assert order not in server.output
    assert lines[-1]["message"] in ("stopped", "twofold.access")


def test_the_setting() -> None:
    assert Settings.load({}).log is LogFormat.TEXT
    assert Settings.load({"TWOFOLD_LOG": "json"}).log is LogFormat.JSON
    assert Settings.load(Settings(log=LogFormat.JSON).variables()).log is LogFormat.JSON
    with pytest.raises(SettingRefused, match="log"):
        Settings.load({"TWOFOLD_LOG": "xml"})


@pytest.mark.parametrize(
    ("url", "logged"),
    [
        ("sqlite:////var/lib/orders.db", "sqlite:////var/lib/orders.db"),
        ("memory:", "memory:"),
        ("postgresql://me@host:5432/orders", "postgresql://me@host:5432/orders"),
        ("postgresql://me:s:e@c@host:5432/orders?a=b", "postgresql://me:***@host:5432/orders?a=b"),
        ("postgresql://:secret@host/orders", "postgresql://:***@host/orders"),
        ("postgresql://host/orders?user=me&password=secret&a=b", "postgresql://host/orders?user=me&password=***&a=b"),
    ],
)
def test_no_password_of_a_store_is_logged(url: str, logged: str) -> None:
    assert _without_password(url) == logged
