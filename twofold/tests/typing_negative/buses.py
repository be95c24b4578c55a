"""What a bus must not take, and what the checker must know of its answers. Read by checkers, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from twofold import Command, CommandBus, Metadata, Query, QueryBus, Receipt


@dataclass(frozen=True)
class CancelOrder(Command[Receipt]):
    order_id: str


@dataclass(frozen=True)
class RenameOrder(Command[None]):
    order_id: str


@dataclass(frozen=True)
class GetOrder(Query[str | None]):
    order_id: str


commands = CommandBus()
queries = QueryBus()


# --- handlers -------------------------------------------------------------------------------------------------------


@commands.handles(CancelOrder)
async def cancel(command: CancelOrder, metadata: Metadata) -> Receipt:
    return Receipt(command.order_id, 1, 1)


@queries.handles(GetOrder)
async def get(query: GetOrder, metadata: Metadata) -> str | None:
    return query.order_id


@queries.handles(GetOrder)
async def get_always(query: GetOrder, metadata: Metadata) -> str:  # narrower than the query says: fine
    return query.order_id


@commands.handles(CancelOrder)  # refused: int
async def wrong_result(command: CancelOrder, metadata: Metadata) -> int:
    return 1


@commands.handles(CancelOrder)  # refused: RenameOrder
async def wrong_parameter(command: RenameOrder, metadata: Metadata) -> Receipt:
    return Receipt(command.order_id, 1, 1)


@commands.handles(CancelOrder)  # refused: Metadata
async def no_metadata(command: CancelOrder) -> Receipt:
    return Receipt(command.order_id, 1, 1)


@commands.handles(CancelOrder)  # refused: Receipt
def not_awaitable(command: CancelOrder, metadata: Metadata) -> Receipt:
    return Receipt(command.order_id, 1, 1)


@queries.handles(GetOrder)  # refused: None
async def wider_result(query: GetOrder, metadata: Metadata) -> str | None | int:
    return query.order_id


@commands.handles(GetOrder)  # refused: GetOrder
async def query_on_command_bus(query: GetOrder, metadata: Metadata) -> str | None:
    return query.order_id


@queries.handles(CancelOrder)  # refused: CancelOrder
async def command_on_query_bus(command: CancelOrder, metadata: Metadata) -> Receipt:
    return Receipt(command.order_id, 1, 1)


@commands.handles(str)  # refused: str
async def no_message(command: str, metadata: Metadata) -> Receipt:
    return Receipt(command, 1, 1)


# --- answers --------------------------------------------------------------------------------------------------------


async def answers() -> None:
    assert_type(await commands.execute(CancelOrder("1")), Receipt)
    assert_type(await queries.ask(GetOrder("1")), str | None)
    number: int = await commands.execute(CancelOrder("1"))  # refused: int
    name: str = await queries.ask(GetOrder("1"))  # refused: str
    await commands.execute(GetOrder("1"))  # refused: GetOrder
    await queries.ask(CancelOrder("1"))  # refused: CancelOrder
    await commands.execute("CancelOrder")  # refused: execute
    print(number, name)
