"""The API's own pages on the running service: its health, its description, and a page to try it that works offline."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest

from browsers import Window
from servers import Server, start
from talking import problem


def test_it_says_that_it_lives_and_is_ready(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "live"}
    assert http.get("/readyz").json() == {"status": "ready"}


LOOKS = (
    *("overview", "categories", "streams", "events", "stream", "state", "diff", "explain", "rows", "event"),
    *("correlation", "search", "model", "audit", "commands"),
)


def test_it_describes_every_operation(http: httpx.Client) -> None:
    response = http.get("/openapi.json")

    assert response.headers["content-type"] == "application/json"
    described = response.json()
    assert described["openapi"].startswith("3.1")
    assert {(method, path) for path, methods in described["paths"].items() for method in methods} == {
        ("post", "/orders"),
        ("get", "/orders"),
        ("get", "/orders/{orderId}"),
        ("get", "/orders/{orderId}/events"),
        ("patch", "/orders/{orderId}/status"),
        ("post", "/orders/{orderId}/cancel"),
        ("get", "/customers/{customerId}/orders"),
        ("get", "/dashboard"),
        ("get", "/projections"),
        ("post", "/projections/{name}/pause"),
        ("post", "/projections/{name}/resume"),
        ("post", "/projections/{name}/reset"),
        ("get", "/projections/{name}/parked"),
        ("get", "/projections/{name}/parked/{position}"),
        ("post", "/projections/{name}/parked/retry"),
        ("post", "/projections/{name}/parked/skip"),
        ("post", "/projections/{name}/parked/undo-skip"),
        *(("get", f"/console/api/{name}") for name in LOOKS),
        ("post", "/console/api/commands/try"),
        ("post", "/console/api/commands/send"),
        ("post", "/console/api/export"),
    }
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', response.text))
    assert references == set(described["components"]["schemas"])


@pytest.mark.parametrize(("currency", "digits"), [("USD", 2), ("JPY", 0), ("KWD", 3)])
def test_it_describes_prices_in_its_currency(tmp_path: Path, currency: str, digits: int) -> None:
    with start("memory:", tmp_path / "service.log", currency=currency) as server:
        described = httpx.get(f"{server.url}/openapi.json").json()

    price = described["components"]["schemas"]["NewItem"]["properties"]["price"]
    number, text = price["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 0, "maximum": 999999999.99}  # no multipleOf: floats
    assert f"at most {digits} decimals" in price["description"]
    assert text["type"] == "string"


def test_the_page_names_no_other_host(http: httpx.Client) -> None:
    page = http.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe-eval" not in page.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) >= 4
    for file in files:
        if file != "data:,":
            assert not file.startswith(("http", "//"))
            assert http.get(f"/{file}").status_code == 200
    problem(http.post("/docs"), 405)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_shows_every_operation_in_a_browser(server: Server, window: Window) -> None:
    described = await (await window.page.request.get(f"{server.url}/openapi.json")).json()

    await window.page.goto(f"{server.url}/docs")
    await window.page.wait_for_selector("[data-path]")
    shown = html.unescape(await window.page.content())

    tags = {
        tag for methods in described["paths"].values() for operation in methods.values() for tag in operation["tags"]
    }
    assert tags == {"orders", "customers", "dashboard", "projections", "console"}
    for tag in tags:
        assert f'data-tag="{tag}"' in shown
    for path, methods in described["paths"].items():
        assert f'data-path="{path}"' in shown.replace("\u200b", "")
        for operation in methods.values():
            assert operation["summary"] in shown
