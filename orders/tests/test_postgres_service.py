"""The service on PostgreSQL, several processes behind one port: attacked, loaded, checked by a second opinion."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import naive
import servers
from twofold.testing.postgres import PostgresServer
from wire import Answer, Wire

CLIENTS = 32


def order_of(customer: str, chance: random.Random) -> dict[str, Any]:
    """The body of a new order."""
    items = [
        {
            "productId": f"p{chance.randrange(50)}",
            "quantity": chance.randint(1, 9),
            "price": f"{chance.randint(1, 99)}.25",
        }
        for _ in range(chance.randint(1, 3))
    ]
    return {"customerId": customer, "items": items, "shippingAddress": {"city": "Graz"}}


class Shop:
    """Clients that create orders and move them on, and send again with the same key what was not answered."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._keys = 0
        self.over = False
        self.orders: dict[str, str] = {}  # customer: order id
        self.troubles: Counter[str] = Counter()
        self.asked = 0

    async def ask(self, wire: Wire, method: str, path: str, body: object) -> Answer:
        """Ask until it is answered: unavailable, busy and unknown are to be asked again, with the key."""
        self._keys += 1
        key = f"key-{self._keys}"
        while True:
            try:
                answer = await wire.ask(method, path, body, Idempotency_Key=key)
            except ConnectionError:
                self.troubles["no answer"] += 1
            else:
                if answer.status in (200, 201):
                    self.asked += 1
                    return answer
                assert answer.status == 503, (answer.status, answer.content)
                self.troubles[answer.json()["type"]] += 1
            await asyncio.sleep(0.05)

    async def go(self, name: str, limit: int | None = None) -> None:
        """One client, until it is over or has made so many orders."""
        wire, number = Wire(self._port), 0
        while not self.over and number != limit:
            customer = f"{name}-{number}"
            number += 1
            answer = await self.ask(wire, "POST", "/orders", order_of(customer, self._chance))
            order_id: str = answer.json()["orderId"]
            self.orders[customer] = order_id
            for status in ("confirmed", self._chance.choice(("shipped", "cancelled"))):
                await self.ask(wire, "PATCH", f"/orders/{order_id}/status", {"status": status})
        wire.close()


async def settled(url: str, seconds: float = 60.0) -> naive.NaiveLog:
    """The database once its views have come to the head of its log."""
    end = time.monotonic() + seconds
    while True:
        log = await naive.read_postgres(url)
        if not naive.faults(log) or time.monotonic() > end:
            return log
        await asyncio.sleep(0.5)


def verified(url: str) -> subprocess.CompletedProcess[str]:
    """What `orders verify` says."""
    command = [sys.executable, "-m", "orders", "verify", "--store", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def restarts(postgres: PostgresServer, folder: Path, times: int, seconds: float) -> Shop:
    """Restart the database under load, kindly and not, while two processes serve."""
    url, seed = postgres.create_database(), random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it with a failure
    with servers.start(url, folder / "service.log", processes=2, lease_seconds=1) as server:
        shop = Shop(int(server.url.rsplit(":", 1)[1]), seed)
        clients = [asyncio.create_task(shop.go(f"c{number}")) for number in range(CLIENTS)]
        for number in range(times):
            await asyncio.sleep(seconds)
            asked = shop.asked
            await asyncio.to_thread(postgres.kill if number % 2 == 0 else postgres.stop)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(postgres.start)
            async with asyncio.timeout(60):
                while shop.asked < asked + 10:  # noqa: ASYNC110 - it goes on by itself
                    await asyncio.sleep(0.05)
        shop.over = True
        async with asyncio.timeout(60):
            await asyncio.gather(*clients)
        log = await settled(url)
        assert naive.faults(log) == []
        stored = naive.orders_of(log)
        assert {order["customer"]: order_id for order_id, order in stored.items()} == shop.orders
        assert {order["version"] for order in stored.values()} == {3}
        assert len(stored) == len(shop.orders), "a command took effect twice"
    outcome = verified(url)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return shop


async def test_a_restart_of_the_database_under_load_loses_and_repeats_nothing(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    shop = await restarts(own_postgres, tmp_path, times=2, seconds=1.0)
    assert shop.troubles


@pytest.mark.soak
async def test_twenty_restarts_under_load_lose_and_repeat_nothing(own_postgres: PostgresServer, tmp_path: Path) -> None:
    shop = await restarts(own_postgres, tmp_path, times=20, seconds=3.0)
    figures = f"20 restarts, {shop.asked} commands, {len(shop.orders)} orders, troubles {dict(shop.troubles)}"
    print(figures)  # noqa: T201 - the soak's figures


async def many_orders(url: str, folder: Path, orders: int, processes: int) -> None:
    """Create orders through several processes behind one port; the views are the fold, and `verify` says so."""
    with servers.start(url, folder / "service.log", processes=processes) as server:
        shop = Shop(int(server.url.rsplit(":", 1)[1]), seed=7)
        began = time.monotonic()
        await asyncio.gather(*(shop.go(f"c{number}", orders // CLIENTS) for number in range(CLIENTS)))
        took = time.monotonic() - began
        assert not shop.troubles
        log = await settled(url)
        caught_up = time.monotonic() - began - took
        assert naive.faults(log) == []
        assert len(naive.orders_of(log)) == orders // CLIENTS * CLIENTS
    began = time.monotonic()
    outcome = verified(url)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    print(  # noqa: T201 - the soak's figures
        f"{len(shop.orders)} orders, {len(log.events)} events, {processes} processes: {shop.asked / took:.0f}/s,"
        f" views settled {caught_up:.1f} s after the last, verified in {time.monotonic() - began:.0f} s"
    )


async def test_three_processes_behind_one_port_keep_one_set_of_views(postgres_url: str, tmp_path: Path) -> None:
    await many_orders(postgres_url, tmp_path, orders=320, processes=3)


@pytest.mark.soak
async def test_a_hundred_thousand_orders_by_four_processes(postgres_url: str, tmp_path: Path) -> None:
    orders = int(os.environ.get("TWOFOLD_SOAK_ORDERS", "100000"))
    await many_orders(postgres_url, tmp_path, orders=orders, processes=4)
