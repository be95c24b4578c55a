"""Orders to look at: the 830 of the Northwind file where it is at hand, else a sample of 40 in the same shape.

The file is not part of the repository: TWOFOLD_NORTHWIND names it, or it lies in ../shared/data beside the repository.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from order_samples import PATHS, read_json
from orders import requests
from orders.app import OrderService, open_service
from orders.domain import Status, UpdateOrderStatus
from twofold import Metadata

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "northwind-orders.jsonl"
FILE = Path(os.environ.get("TWOFOLD_NORTHWIND") or BESIDE)
WAITING = 4  # of the last orders, which nobody has touched yet
SAMPLE = Path(__file__).parent / "northwind_sample.jsonl"


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines of a file: when an order was placed, whether it ships, and the order as a client would send it."""
    return [read_json(line) for line in file.read_bytes().splitlines()]


def lines() -> list[dict[str, Any]]:
    """The orders to look at."""
    return lines_of(FILE if FILE.is_file() else SAMPLE)


def order_id(number: int) -> str:
    """The id that the order of this line is given, counted from 1."""
    return f"nw-order-{number:03}"


async def fill(url: str) -> None:
    """Put the orders into a store, each placed on its day. What ships is delivered within three days.

    Of the rest some are confirmed, some cancelled, some still pending.
    """
    async with open_service(url) as service:
        known = [*enumerate(lines(), start=1)]
        await asyncio.gather(*(_create(service, number, line) for number, line in known))
        await asyncio.gather(*(_go_on(service, number, line) for number, line in known[:-WAITING]))
        await service.watermarks.wait(service.views.all, await service.store.head(), 60)


def _placed(number: int, line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["placed"]).replace(tzinfo=UTC) + timedelta(hours=9, minutes=number % 480)


async def _create(service: OrderService, number: int, line: dict[str, Any]) -> None:
    command = requests.create_order(order_id(number), line["order"], "USD")
    await service.commands.execute(command, Metadata.new(at=_placed(number, line)))


async def _go_on(service: OrderService, number: int, line: dict[str, Any]) -> None:
    status = Status.DELIVERED if line["ships"] else (Status.CONFIRMED, Status.CANCELLED, Status.PENDING)[number % 3]
    for days, step in enumerate(PATHS[status], start=1):
        reason = "The customer has changed their mind" if step is Status.CANCELLED else None
        change = UpdateOrderStatus(order_id(number), step, reason)
        await service.commands.execute(change, Metadata.new(at=_placed(number, line) + timedelta(days=days)))
