"""The API inside another application: its paths, links and addresses carry the prefix that it is mounted under."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from order_samples import body
from orders.app import OrderService
from orders.asgi import application
from orders.settings import Settings
from talking import JSON, encode, problem


def mounted(service: OrderService, prefix: str) -> httpx.AsyncClient:
    """A client of an application that has the API under this prefix, and nothing else."""
    outer = Starlette(routes=[Mount(prefix, application(service, Settings()))])
    return httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://shop.test")


async def test_a_mounted_api_says_where_it_is(service: OrderService) -> None:
    async with mounted(service, "/shop/v1") as http:
        created = [await http.post("/shop/v1/orders", content=encode(body()), headers=JSON) for _ in range(3)]

        location = created[0].headers["location"]
        assert location == f"/shop/v1/orders/{created[0].json()['orderId']}"
        assert (await http.get(location)).status_code == 200

        page = await http.get("/shop/v1/customers/alice/orders?limit=2")
        assert page.links["next"]["url"].startswith("/shop/v1/customers/alice/orders?")
        assert (await http.get(page.links["next"]["url"])).json()["page"] == 2

        found = await http.get("/shop/v1/orders?q=teapot&limit=2")
        assert found.links["next"]["url"].startswith("/shop/v1/orders?")
        assert len((await http.get(found.links["next"]["url"])).json()["orders"]) == 1


async def test_a_mounted_api_describes_itself_where_it_is(service: OrderService) -> None:
    async with mounted(service, "/shop") as http:
        described = (await http.get("/shop/openapi.json")).json()
        assert described["servers"] == [{"url": "/shop"}]
        page = await http.get("/shop/docs")
        assert page.status_code == 200
        for line in page.text.splitlines():  # its files are named beside it, not at the root
            assert 'src="/' not in line
            assert 'href="/' not in line
        assert (await http.get("/shop/docs/start.js")).status_code == 200


async def test_a_mounted_api_keeps_its_problems(service: OrderService) -> None:
    async with mounted(service, "/shop") as http:
        problem(await http.get("/shop/orders/none"), 404, "Order not found")
        problem(await http.get("/shop/nowhere"), 404, "There is nothing here")
        assert (await http.delete("/shop/orders")).headers["allow"]
        assert (await http.get("/orders")).status_code == 404


async def test_a_key_is_of_one_path_wherever_it_is_mounted(service: OrderService) -> None:
    headers = JSON | {"Idempotency-Key": "the same"}
    async with mounted(service, "/shop") as http:
        first = await http.post("/shop/orders", content=encode(body()), headers=headers)
        again = await http.post("/shop/orders", content=encode(body()), headers=headers)

        assert first.status_code == again.status_code == 201
        assert first.content == again.content
