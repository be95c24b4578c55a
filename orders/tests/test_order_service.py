"""The service end to end, below HTTP: repeated requests, crowds, restarts, two processes' worth of it on one file."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from order_samples import PATHS, body, bring, create
from orders import app, requests
from orders.answers import Answers
from orders.app import OrderService, open_service
from orders.domain import (
    CancelOrder,
    CreateOrder,
    OrderCommand,
    OrderExists,
    OrderNotFound,
    Status,
    TransitionForbidden,
    UpdateOrderStatus,
    orders,
)
from orders.queries import GetDashboard, GetOrder, GetOrdersByCustomer, SearchOrders
from twofold import Command, Conflict, Idempotency, Metadata, Query, QueryBus, Receipt, Recorded, ValidationFailed
from twofold.connect import connect
from twofold.errors import BusBuilt, HandlerExists, HandlersMissing, IdempotencyKeyReused, MessageUnknown, StoreRefused
from twofold.verify import verify


def keyed(key: str, fingerprint: str = "this request") -> Metadata:
    """The metadata of a request that carries an idempotency key."""
    return Metadata.new(idempotency=Idempotency(key, fingerprint))


async def history(service: OrderService, order_id: str) -> list[str]:
    """The statuses that the stored events brought the order to; fails where a version or a step is missing."""
    stored = [recorded async for recorded in service.store.read(f"order-{order_id}")]
    assert [recorded.version for recorded in stored] == list(range(1, len(stored) + 1))
    events = [msgspec.json.decode(recorded.data) for recorded in stored]
    statuses = ["pending", *(event.get("newStatus", "cancelled") for event in events[1:])]
    assert [event["previousStatus"] for event in events[1:]] == statuses[:-1]
    return statuses


async def log_of(service: OrderService) -> list[Recorded[bytes]]:
    """All that is stored."""
    return [recorded async for recorded in service.store.read_all()]


async def assert_views_are_folds(service: OrderService) -> None:
    """The verifier finds no difference."""
    async with connect("memory:") as scratch:
        assert await verify(service.views, service.store, scratch, lambda _progress: None) == []


async def all_views(service: OrderService) -> Sequence[object]:
    """What every query answers."""
    page = await service.queries.ask(GetOrdersByCustomer("alice"))
    found = await service.queries.ask(SearchOrders(text="street"))
    order = await service.queries.ask(GetOrder("1"))
    dashboard = await service.queries.ask(GetDashboard())
    return [
        order,
        [bytes(body) for body in page.orders],
        (page.total, page.cursor),
        [bytes(body) for body in found.orders],
        dashboard,
    ]


# --- one after another ----------------------------------------------------------------------------------------------


async def test_an_order_goes_its_way_and_each_read_sees_the_write_before_it(service: OrderService) -> None:
    receipt = await service.commands.execute(create("1"))
    assert (receipt.stream, receipt.version) == ("order-1", 1)
    for version, status in enumerate(PATHS[Status.DELIVERED], start=2):
        receipt = await service.commands.execute(UpdateOrderStatus("1", status))
        document = await service.queries.ask(GetOrder("1"))
        assert document is not None
        assert (receipt.version, document.version, document.view().status) == (version, version, status)
    assert await history(service, "1") == ["pending", "confirmed", "shipped", "delivered"]


async def test_the_status_that_an_order_has_already_leads_to_no_event(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    first = await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED))
    again = await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED, "again"))
    assert again == first
    assert await history(service, "1") == ["pending", "confirmed"]


async def test_what_is_refused_leaves_no_event(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    await bring(service, "1", Status.SHIPPED)
    before = await log_of(service)
    with pytest.raises(TransitionForbidden, match="Order cannot go from shipped to cancelled"):
        await service.commands.execute(CancelOrder("1"))
    with pytest.raises(OrderNotFound):
        await service.commands.execute(CancelOrder("2"))
    with pytest.raises(OrderExists):
        await service.commands.execute(create("1"))
    with pytest.raises(ValidationFailed) as refused:
        await service.commands.execute(CreateOrder("3", "", (), "", "USD"))
    assert [fault.message for fault in refused.value.faults] == [
        "Customer ID is required",
        "At least one item is required",
        "Shipping address is required",
    ]
    assert await log_of(service) == before


async def test_a_command_for_a_version_is_decided_on_that_version_only(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED, if_version=1))
    with pytest.raises(Conflict) as conflict:
        await service.commands.execute(CancelOrder("1", if_version=1))
    assert (conflict.value.expected, conflict.value.actual) == (1, 2)
    await service.commands.execute(CancelOrder("1", if_version=2))
    assert await history(service, "1") == ["pending", "confirmed", "cancelled"]


# --- idempotency keys -----------------------------------------------------------------------------------------------


async def test_the_same_request_has_one_effect_and_the_same_answer(service: OrderService) -> None:
    first = await service.commands.execute(create("1"), keyed("k"))
    again = await service.commands.execute(create("2"), keyed("k"))  # a repeated request is given a fresh id
    assert again == msgspec.structs.replace(first, repeated=True)
    assert [recorded.stream for recorded in await log_of(service)] == ["order-1"]
    assert await service.queries.ask(GetOrder("2")) is None


async def test_the_same_key_for_another_request_is_refused(service: OrderService) -> None:
    await service.commands.execute(create("1"), keyed("k"))
    with pytest.raises(IdempotencyKeyReused):
        await service.commands.execute(create("2", customerId="bob"), keyed("k", "another request"))
    with pytest.raises(IdempotencyKeyReused):
        await service.commands.execute(CancelOrder("1"), keyed("k", "another request"))
    assert await history(service, "1") == ["pending"]


async def test_a_request_that_took_effect_keeps_its_answer_when_it_would_now_be_refused(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    first = await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED, if_version=1), keyed("k"))
    await service.commands.execute(UpdateOrderStatus("1", Status.SHIPPED))
    again = await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED, if_version=1), keyed("k"))
    assert (again.version, again.repeated) == (first.version, True)
    with pytest.raises(IdempotencyKeyReused):
        await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED), keyed("k", "another request"))


async def test_a_request_that_changed_nothing_keeps_its_answer_too(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    await service.commands.execute(CancelOrder("1"))
    first = await service.commands.execute(CancelOrder("1"), keyed("k"))
    again = await service.commands.execute(CancelOrder("1"), keyed("k"))
    assert ((first.version, first.repeated), (again.version, again.repeated)) == ((2, False), (2, True))


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as service:
        first = await service.commands.execute(create("1"), keyed("k"))
        await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED), keyed("l"))
    async with open_service(url) as service:
        again = await service.commands.execute(create("2"), keyed("k"))
        assert (again.stream, again.version, again.repeated) == (first.stream, first.version, True)
        with pytest.raises(IdempotencyKeyReused):
            await service.commands.execute(create("3"), keyed("l", "another request"))
        assert len(await log_of(service)) == 2


# --- crowds ---------------------------------------------------------------------------------------------------------


async def test_of_fifty_updates_for_one_version_exactly_one_wins(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    commands = [UpdateOrderStatus("1", Status.CONFIRMED, f"{number}", if_version=1) for number in range(50)]
    outcomes = await asyncio.gather(*(service.commands.execute(c) for c in commands), return_exceptions=True)
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert winner.version == 2
    lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert (len(lost), {conflict.actual for conflict in lost}) == (49, {2})
    assert await history(service, "1") == ["pending", "confirmed"]
    await assert_views_are_folds(service)


async def test_fifty_updates_at_once_are_each_decided_and_none_is_lost_in_silence(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    commands: list[UpdateOrderStatus | CancelOrder] = [
        (UpdateOrderStatus("1", (Status.CONFIRMED, Status.SHIPPED, Status.DELIVERED)[number % 3], f"{number}"))
        if number % 4
        else CancelOrder("1", f"{number}")
        for number in range(50)
    ]
    outcomes = await asyncio.gather(*(service.commands.execute(c) for c in commands), return_exceptions=True)
    walked = await history(service, "1")
    assert walked[-1] in ("cancelled", "shipped", "delivered", "confirmed")
    assert len(walked) == len(set(walked))
    events = [msgspec.json.decode(recorded.data) for recorded in await log_of(service)]
    reasons = Counter(event.get("reason") for event in events[1:])
    for number, (command, outcome) in enumerate(zip(commands, outcomes, strict=True)):
        wanted = command.status if isinstance(command, UpdateOrderStatus) else Status.CANCELLED
        if isinstance(outcome, Receipt):  # it took effect: by its own event, or because another's had done it
            assert walked[outcome.version - 1] == wanted
        else:
            assert isinstance(outcome, TransitionForbidden | Conflict)
            assert reasons[f"{number}"] == 0
    assert len(walked) - 1 == sum(reasons[f"{number}"] for number in range(50))
    await assert_views_are_folds(service)


async def test_a_hundred_creations_with_one_key_make_one_order(service: OrderService) -> None:
    receipts = await asyncio.gather(
        *(service.commands.execute(create(f"{number}"), keyed("k")) for number in range(100))
    )
    assert len({(receipt.stream, receipt.version, receipt.position) for receipt in receipts}) == 1
    assert sum(not receipt.repeated for receipt in receipts) == 1
    assert len(await log_of(service)) == 1
    assert (await service.queries.ask(GetDashboard())).total_orders == 1


async def test_a_hundred_creations_of_one_order_make_it_once(service: OrderService) -> None:
    outcomes = await asyncio.gather(
        *(service.commands.execute(create("1")) for _ in range(100)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, OrderExists) for outcome in outcomes) == 99
    assert await history(service, "1") == ["pending"]


async def test_many_orders_at_once_are_all_there(service: OrderService) -> None:
    async def live(number: int) -> None:
        await service.commands.execute(create(f"{number}", customerId=f"c-{number % 7}"))
        await bring(service, f"{number}", list(Status)[number % 5])

    await asyncio.gather(*(live(number) for number in range(100)))
    positions = [recorded.position for recorded in await log_of(service)]
    assert positions == list(range(1, len(positions) + 1))
    for number in range(100):
        assert (await history(service, f"{number}"))[-1] == list(Status)[number % 5]
    await assert_views_are_folds(service)


# --- restarts, and two services on one file -------------------------------------------------------------------------


async def test_a_restart_shows_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as service:
        for number in range(5):
            await service.commands.execute(create(f"{number}"))
            await bring(service, f"{number}", list(Status)[number])
        before = await all_views(service)
    async with open_service(url) as service:
        assert await all_views(service) == before
        await service.commands.execute(create("new"))  # and it goes on
        await service.commands.execute(CancelOrder("0"))
        assert await history(service, "0") == ["pending", "cancelled"]
        await assert_views_are_folds(service)


async def test_views_that_were_lost_are_made_anew_at_the_start(tmp_path: Path) -> None:
    """As when the service is started on a file that was written by another program on the same log."""
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with connect(url) as store:
        for number in range(3):
            command = create(f"{number}")
            await orders.transact(store, command, Metadata.new())
    async with open_service(url) as service:
        assert (await service.queries.ask(GetOrdersByCustomer("alice"))).total == 3
        await assert_views_are_folds(service)


async def test_two_services_on_one_file_see_each_others_writes_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as one, open_service(url) as other:
        await one.commands.execute(create("1"))
        assert await all_views(one) == await all_views(other)
        await other.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED))
        assert await all_views(one) == await all_views(other)
        document = await one.queries.ask(GetOrder("1"))
        assert document is not None
        assert document.view().status == "confirmed"
        await assert_views_are_folds(one)


async def test_two_services_decide_on_what_is_and_not_on_what_they_remember(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as one, open_service(url) as other:
        await one.commands.execute(create("1"))
        await other.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED))
        await other.commands.execute(UpdateOrderStatus("1", Status.SHIPPED))
        with pytest.raises(TransitionForbidden, match="from shipped to cancelled"):
            await one.commands.execute(CancelOrder("1"))  # it remembers a pending order
        receipt = await one.commands.execute(UpdateOrderStatus("1", Status.DELIVERED))
        assert receipt.version == 4
        again = await other.commands.execute(UpdateOrderStatus("1", Status.DELIVERED))  # it remembers a shipped one
        assert again.version == 4
        with pytest.raises(OrderExists):
            await other.commands.execute(create("1"))
        assert await history(one, "1") == ["pending", "confirmed", "shipped", "delivered"]


async def test_a_service_does_not_refuse_for_what_it_remembers_wrongly(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as one, open_service(url) as other:
        await one.commands.execute(create("1"))
        await other.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED))
        receipt = await one.commands.execute(UpdateOrderStatus("1", Status.SHIPPED))  # it remembers a pending order
        assert receipt.version == 3
        await other.commands.execute(UpdateOrderStatus("1", Status.DELIVERED, if_version=3))
        assert await history(one, "1") == ["pending", "confirmed", "shipped", "delivered"]


async def test_two_services_share_their_keys(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as one, open_service(url) as other:
        services = [one, other]
        receipts = await asyncio.gather(
            *(services[number % 2].commands.execute(create(f"{number}"), keyed("k")) for number in range(50))
        )
        assert len({(receipt.stream, receipt.position) for receipt in receipts}) == 1
        assert len(await log_of(one)) == 1


async def test_two_services_write_one_order_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with open_service(url) as one, open_service(url) as other:
        await one.commands.execute(create("1"))
        services = [one, other]
        outcomes = await asyncio.gather(
            *(
                services[number % 2].commands.execute(UpdateOrderStatus("1", Status.CONFIRMED, if_version=1))
                for number in range(50)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 49
        assert await history(other, "1") == ["pending", "confirmed"]
        await assert_views_are_folds(other)


# --- start-up -------------------------------------------------------------------------------------------------------


class ShredOrder(msgspec.Struct, Command[Receipt], frozen=True):
    """A command that someone has thought of and nobody handles."""

    order_id: str


class CountOrders(msgspec.Struct, Query[int], frozen=True):
    """A question that someone has thought of and nobody answers."""


async def test_a_command_without_a_handler_is_refused_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "OrderCommand", OrderCommand | ShredOrder)
    with pytest.raises(HandlersMissing, match="ShredOrder") as refused:
        async with open_service("memory:"):
            pass
    assert refused.value.messages == (ShredOrder,)


async def test_a_second_handler_is_refused(service: OrderService) -> None:
    async def handler(command: CancelOrder, metadata: Metadata) -> Receipt:
        raise AssertionError(f"never called with {command} and {metadata}")

    with pytest.raises(BusBuilt):
        service.commands.handles(CancelOrder)(handler)
    bus = QueryBus()
    answers = Answers(service.store, service.views)
    bus.handles(GetDashboard)(answers.dashboard)
    with pytest.raises(HandlerExists, match="GetDashboard"):
        answers.register(bus)


async def test_an_unknown_message_is_a_clear_error(service: OrderService) -> None:
    with pytest.raises(MessageUnknown, match="no handler is registered for ShredOrder"):
        await service.commands.execute(ShredOrder("1"))
    with pytest.raises(MessageUnknown, match="no handler is registered for CountOrders"):
        await service.queries.ask(CountOrders())


@pytest.mark.parametrize("url", ["", "orders.db", "sqlite:", "sqlite:///", "memory:x", "mongodb://localhost"])
async def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused):
        async with open_service(url):
            pass


def test_every_command_of_the_union_can_be_requested() -> None:
    made: Sequence[OrderCommand] = [
        requests.create_order("1", body(), "USD"),
        requests.update_status("1", {"status": "shipped"}, 3),
        requests.cancel_order("1", {"reason": "late"}, 3),
    ]
    assert {type(command) for command in made} == set(get_args(OrderCommand))
    assert made[1:] == [UpdateOrderStatus("1", Status.SHIPPED, None, 3), CancelOrder("1", "late", 3)]
