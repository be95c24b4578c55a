"""Looking into a log of orders, on every store: each answer beside what a naive fold of the same events comes to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any
from unittest import mock
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from order_samples import REFUSALS, commands, create, item
from orders.app import MODEL, VIEWS, OrderService
from orders.details import OrderView, details
from orders.domain import CancelOrder, OrderEvent, Status, UpdateOrderStatus, codec, order
from twofold import Category, Codec, Decider, Idempotency, Metadata, NewEvent, Recorded, Schema
from twofold.errors import CommandInvalid, CommandUnknown, ExportRefused, ModelMissing
from twofold.inspecting.changes import Kind, difference, differences, explain
from twofold.inspecting.correlation import correlation
from twofold.inspecting.drawing import NodeKind, drawing, mermaid
from twofold.inspecting.events import shown
from twofold.inspecting.exporting import export
from twofold.inspecting.finding import HitKind, find
from twofold.inspecting.forms import FieldKind, filled_in, forms
from twofold.inspecting.history import history, state_at
from twofold.inspecting.inspection import Inspection, version_of
from twofold.inspecting.rows import rows
from twofold.inspecting.streams import categories, position_at, recent, streams
from twofold.inspecting.trying import try_command
from twofold.inspecting.values import brief, leaves, path_text, value_of
from twofold.model import Deciding, Model
from twofold.sql import Work
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore
from twofold.stores.sqlite.driver import Connection
from twofold.testing.strategies import histories

ADA = "ada"


@pytest.fixture
def inspection(service: OrderService) -> Inspection:
    return Inspection(service.store, MODEL, service.views)


async def lived(service: OrderService, order_id: str = "1") -> None:
    """An order's whole life, in four events of four messages."""
    await service.commands.execute(create(order_id), Metadata.new(actor=ADA))
    for status in (Status.CONFIRMED, Status.SHIPPED, Status.DELIVERED):
        await service.commands.execute(UpdateOrderStatus(order_id, status, f"for {status}"), Metadata.new(actor="bob"))


# --- streams and history ----------------------------------------------------------------------------------------------


async def test_streams_are_listed_by_their_newest_event(service: OrderService, inspection: Inspection) -> None:
    for number in range(5):
        await service.commands.execute(create(str(number)))
    await service.commands.execute(CancelOrder("2"))
    page = await streams(inspection, limit=3)
    assert [(each.stream, each.version) for each in page.streams] == [("order-2", 2), ("order-4", 1), ("order-3", 1)]
    rest = await streams(inspection, limit=3, before=page.before)
    assert [each.stream for each in rest.streams] == ["order-1", "order-0"]
    assert rest.before is None
    assert await streams(inspection, category="nothing") == type(page)([], None)
    assert await categories(inspection) == ["order"]


async def test_a_time_leads_to_a_position(service: OrderService, inspection: Inspection) -> None:
    await lived(service)
    log = [recorded async for recorded in service.store.read_all()]
    for recorded in log:
        later = [each for each in log if each.recorded_at <= recorded.recorded_at]
        assert await position_at(service.store, recorded.recorded_at) == later[-1].position
    assert await position_at(service.store, log[0].recorded_at - timedelta(seconds=1)) == 0
    assert await position_at(service.store, log[-1].recorded_at + timedelta(days=1)) == log[-1].position
    hits = await find(inspection, (log[-1].recorded_at + timedelta(days=1)).isoformat())
    assert [(hit.kind, hit.position) for hit in hits] == [(HitKind.TIME, log[-1].position)]


async def test_a_history_has_each_event_with_the_time_since_the_one_before(
    service: OrderService, inspection: Inspection
) -> None:
    await lived(service)
    log = [recorded async for recorded in service.store.read("order-1")]
    whole = await history(inspection, "order-1")
    assert (whole.version, whole.after, len(whole.events)) == (4, None, 4)
    for event, recorded in zip(whole.events, log, strict=True):
        assert (event.id, event.version, event.position) == (recorded.id, recorded.version, recorded.position)
        assert event.said is not None
        assert event.said.message_id == recorded.metadata.message_id
        assert event.trouble is None
    gaps = [(later.recorded_at - earlier.recorded_at).total_seconds() for earlier, later in pairwise(log)]
    assert [event.gap for event in whole.events] == [None, *gaps]
    page = await history(inspection, "order-1", after=1, limit=2)
    assert (list(page.events), page.after) == (list(whole.events[1:3]), 3)
    assert (await history(inspection, "order-9")).version == 0


async def test_the_version_of_a_stream_is_found_however_long_it_is() -> None:
    async with MemoryStore() as store:
        for version in range(1, 70):
            await store.append("order-1", [event("Something", {})], expected=None)
            assert await version_of(store, "order-1") == version
        assert await version_of(store, "order-2") == 0


# --- states, differences, explanations --------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(order, commands("1"), refusals=REFUSALS))
def test_at_each_version_state_difference_and_explanation_are_what_a_naive_fold_gives(
    happened: Sequence[OrderEvent],
) -> None:
    asyncio.run(_as_a_naive_fold(happened))


async def _as_a_naive_fold(happened: Sequence[OrderEvent]) -> None:
    async with MemoryStore() as store:
        inspection = Inspection(store, MODEL)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        for number, each in enumerate(happened):
            said = Metadata.new(actor=f"actor {number}", at=start + timedelta(hours=number))
            await store.append("order-1", [codec.encode(each, said)], expected=number)
        log = [codec.decode(recorded) async for recorded in store.read("order-1")]
        states: list[Any] = [order.initial]
        kept: list[OrderView | None] = [None]
        for recorded in log:
            states.append(order.evolve(states[-1], recorded.data))
            kept.append(details.projection.evolve(kept[-1], recorded))
        for version in range(len(log) + 1):
            answer = await state_at(inspection, "order-1", version)
            assert (answer.version, answer.state) == (version, value_of(states[version]))
            explained = await explain(inspection, "order-1", version)
            assert {field.path: field.set_by and field.set_by.version for field in explained.fields} == _setters(
                states[: version + 1]
            )
            if version:
                (row,) = (row for row in explained.rows if row.view == details.name)
                assert {field.path: field.set_by and field.set_by.version for field in row.fields} == _setters(
                    kept[: version + 1]
                )
                for field in row.fields:
                    assert field.set_by is not None
                    cause = log[field.set_by.version - 1]
                    assert field.set_by.actor == cause.metadata.actor
                    assert (field.set_by.message_id, field.set_by.at) == (cause.metadata.message_id, cause.metadata.at)
            for other in range(len(log) + 1):
                found = await difference(inspection, "order-1", other, version)
                assert list(found.changes) == differences(value_of(states[other]), value_of(states[version]))


def _setters(states: Sequence[object]) -> dict[str, int | None]:
    """For each leaf of the last state, the version that it came with, by looking back from the last state."""
    values = [dict(leaves(value_of(state))) for state in states]
    found: dict[str, int | None] = {}
    for path, leaf in values[-1].items():
        version = len(values) - 1
        while version > 0 and path in values[version - 1] and repr(values[version - 1][path]) == repr(leaf):
            version -= 1
        found[path_text(path)] = version or None
    return found


def test_differences_are_told_by_path() -> None:
    before: dict[str, Any] = {"a": 1, "b": [1, {"c": True}], "d": {}, "odd name.": None, "e": []}
    after = {"a": 2, "b": [1, {"c": 1}, 5], "d": {"e": "f"}}
    assert [(change.path, change.kind, change.before, change.after) for change in differences(before, after)] == [
        ("a", Kind.CHANGED, 1, 2),
        ("b[1].c", Kind.CHANGED, True, 1),
        ('["odd name."]', Kind.REMOVED, None, None),
        ("e", Kind.REMOVED, [], None),
        ("b[2]", Kind.ADDED, None, 5),
        ("d.e", Kind.ADDED, None, "f"),
    ]


async def test_rows_stand_beside_a_fresh_fold(service: OrderService, inspection: Inspection) -> None:
    await lived(service)
    found = {row.view: row for row in await rows(inspection, "order-1")}
    row = found["order_details"]
    assert (row.key, row.behind, row.shared, list(row.differences)) == ("1", 0, False, [])
    assert row.stored == row.folded
    assert row.stored["status"] == "delivered"
    body = details.encode(msgspec.structs.replace(msgspec.convert(row.stored, OrderView), customer_id="mallory"))
    statement = service.views.current.compile(details.table.update().values(body=body))

    def damage() -> Work[None]:
        yield statement.run([{}])

    await service.store.work(damage)
    (row,) = (row for row in await rows(inspection, "order-1") if row.view == "order_details")
    assert [(change.path, change.before, change.after) for change in row.differences] == [
        ("customerId", "mallory", "alice")
    ]


# --- correlation ------------------------------------------------------------------------------------------------------


async def test_a_correlation_is_a_tree_of_messages_and_their_events(
    service: OrderService, inspection: Inspection
) -> None:
    outer = Metadata.new(actor=ADA, at=datetime(2026, 1, 1, tzinfo=UTC))
    confirm = outer.caused(at=outer.at + timedelta(seconds=2))
    other = outer.caused(at=outer.at + timedelta(seconds=3))
    await service.commands.execute(create("1"), outer)
    await service.commands.execute(UpdateOrderStatus("1", Status.CONFIRMED), confirm)
    await service.commands.execute(create("2"), other)
    ship = msgspec.structs.replace(confirm.caused(), causation_id=(await first(service, "order-1", 2)).id)
    await service.commands.execute(UpdateOrderStatus("1", Status.SHIPPED), ship)
    await service.commands.execute(create("3"))
    tree = await correlation(inspection, outer.correlation_id)
    assert [(each.id, each.parent, each.depth) for each in tree.messages] == [
        (outer.message_id, None, 0),
        (confirm.message_id, outer.message_id, 1),
        (ship.message_id, confirm.message_id, 2),  # caused by an event of that message
        (other.message_id, outer.message_id, 1),
    ]
    assert [each.seconds for each in tree.messages][:2] == [None, 2.0]
    assert (tree.streams, tree.events, tree.after) == (["order-1", "order-2"], 4, None)
    assert [event.type for each in tree.messages for event in each.events] == [
        "OrderCreated",
        "OrderStatusUpdated",
        "OrderStatusUpdated",
        "OrderCreated",
    ]
    page = await correlation(inspection, outer.correlation_id, limit=3)
    assert page.events == 3
    assert page.after is not None
    assert (await correlation(inspection, outer.correlation_id, after=page.after)).events == 1
    assert (await correlation(inspection, uuid4())).messages == []


async def first(service: OrderService, stream: str, version: int) -> Recorded[bytes]:
    return await anext(aiter(service.store.read(stream, after=version - 1)))


async def test_a_circle_of_causes_is_shown_all_the_same() -> None:
    async with MemoryStore() as store:
        one = Metadata.new()
        two = one.caused()
        one = msgspec.structs.replace(one, causation_id=two.message_id)
        for said in (one, two, msgspec.structs.replace(two, message_id=(own := uuid4()), causation_id=own)):
            await store.append("order-1", [event("Something", {}, said)], expected=None)
        tree = await correlation(Inspection(store), one.correlation_id)
    assert {each.id for each in tree.messages} == {one.message_id, two.message_id, own}
    assert len(tree.messages) == 3


# --- the search box ---------------------------------------------------------------------------------------------------


async def test_whatever_is_typed_leads_to_what_it_names(service: OrderService, inspection: Inspection) -> None:
    said = Metadata.new(idempotency=None)
    receipt = await service.commands.execute(create("7", customerId="zoe"), said)
    await service.commands.execute(UpdateOrderStatus("7", Status.CONFIRMED), said.caused())
    recorded = await first(service, "order-7", 1)

    async def kinds(text: str) -> set[tuple[str, str | None, int | None]]:
        return {(hit.kind, hit.stream, hit.version) for hit in await find(inspection, text)}

    assert (HitKind.STREAM, "order-7", None) in await kinds("order-7")
    assert (HitKind.STREAM, "order-7", None) in await kinds(" 7 ")
    assert (HitKind.STREAM, "order-7", 2) in await kinds("7@2")
    assert await kinds("7@3") == set()
    assert (HitKind.EVENT, "order-7", 1) in await kinds(str(recorded.id))
    assert (HitKind.EVENT, "order-7", 1) in await kinds(str(receipt.position))
    assert await kinds(str(said.message_id)) == {
        (HitKind.MESSAGE, "order-7", 1),
        (HitKind.CORRELATION, "order-7", 1),
    }
    assert (HitKind.ROW, "order-7", None) in await kinds("zoe")
    assert (HitKind.ROW, "order-7", None) in await kinds("teapot BLUE")
    for nothing in (
        "",
        "  ",
        "nobody",
        str(uuid4()),
        "x" * 501,
        "a\0b",
        "\ud800",
        "'; drop table event; --",
        "9999-99-99",
    ):
        assert await find(inspection, nothing) == []


async def test_words_lead_to_the_newest_rows_however_far_back_they_are(
    service: OrderService, inspection: Inspection
) -> None:
    await service.commands.execute(create("0", items=[item(productName="Samovar")]))
    for number in range(1, 13):
        await service.commands.execute(create(f"{number}", items=[item(productName="Kettle")]))

    async def keys(text: str) -> list[str | None]:
        return [hit.key for hit in await find(inspection, text) if hit.kind is HitKind.ROW]

    for near in (1, 3, 100):
        with mock.patch("twofold.inspecting.finding.NEAR", near):
            assert await keys("kettle") == [f"{number}" for number in range(12, 2, -1)]
            assert await keys("samov") == ["0"]


async def test_an_idempotency_key_leads_to_what_it_was_answered(service: OrderService, inspection: Inspection) -> None:
    await service.commands.execute(create("1"), Metadata.new(idempotency=Idempotency("k-1", "f")))
    await service.store.refuse(Idempotency("k-2", "f"), b"{}")
    (hit,) = await find(inspection, "k-1")
    assert (hit.kind, hit.stream, hit.version) == (HitKind.REQUEST, "order-1", 1)
    (hit,) = await find(inspection, "k-2")
    assert (hit.kind, hit.stream) == (HitKind.REQUEST, None)


# --- trying -----------------------------------------------------------------------------------------------------------


async def test_a_command_is_tried_and_nothing_is_appended(service: OrderService, inspection: Inspection) -> None:
    await lived(service)
    head = await service.store.head()
    trial = await try_command(inspection, "CancelOrder", {"order_id": "1", "reason": "late"})
    assert trial.refusal is not None
    assert (trial.version, trial.refusal.type, trial.events) == (4, "TransitionForbidden", [])
    trial = await try_command(inspection, "CancelOrder", {"order_id": "1", "reason": "late"}, version=2)
    assert trial.refusal is None
    assert [(each.type, each.data["reason"]) for each in trial.events] == [("OrderCancelled", "late")]
    assert [(change.path, change.before, change.after) for change in trial.changes] == [
        ("status", "confirmed", "cancelled")
    ]
    trial = await try_command(
        inspection, "CreateOrder", {"order_id": "2", "customer_id": "", "items": [], "shipping_address": "x"}
    )
    assert trial.refusal is not None
    assert {fault.path for fault in trial.refusal.faults} >= {"customerId", "items"}
    for name, fields in (
        ("CancelOrder", {}),
        ("CancelOrder", {"order_id": 1}),
        ("UpdateOrderStatus", {"order_id": "1", "status": "x"}),
    ):
        with pytest.raises(CommandInvalid):
            await try_command(inspection, name, fields)
    with pytest.raises(CommandUnknown, match="CancelOrder"):
        await try_command(inspection, "Nothing", {})
    with pytest.raises(ModelMissing):
        await try_command(Inspection(service.store), "CancelOrder", {"order_id": "1"})
    assert await service.store.head() == head


def test_a_form_has_a_field_for_each_of_a_command() -> None:
    found = {form.command: form for form in forms(Inspection(MemoryStore(), MODEL))}
    update = found["UpdateOrderStatus"]
    assert [(field.name, field.kind, field.required) for field in update.fields] == [
        ("order_id", FieldKind.TEXT, True),
        ("status", FieldKind.CHOICE, True),
        ("reason", FieldKind.TEXT, False),
        ("if_version", FieldKind.WHOLE, False),
    ]
    assert update.summary.startswith("Bring the order to this status")
    texts = {"order_id": "1", "status": "shipped", "reason": "", "if_version": "3"}
    assert filled_in(update, texts) == {"order_id": "1", "status": "shipped", "if_version": 3}
    creating = {
        "order_id": "1",
        "customer_id": "a",
        "items": '[{"productId":"p","quantity":1,"price":"1.50"}]',
        "shipping_address": "1 Main Street",
    }
    assert filled_in(found["CreateOrder"], creating)["shipping_address"] == "1 Main Street"
    assert filled_in(found["CreateOrder"], {**creating, "shipping_address": '{"city": "Rome"}'})[
        "shipping_address"
    ] == {"city": "Rome"}
    for texts in ({"order_id": "1"}, {"order_id": "1", "status": "shipped", "if_version": "x"}):
        with pytest.raises(CommandInvalid):
            filled_in(update, texts)


async def test_a_stream_is_exported_as_a_test_that_runs(
    service: OrderService, inspection: Inspection, tmp_path: Path
) -> None:
    await lived(service)
    sources = [
        await export(inspection, "order-1"),
        await export(
            inspection, "order-1", version=2, command=("CancelOrder", {"order_id": "1", "reason": 'it\'s "late"'})
        ),
        await export(inspection, "order-1", command=("CancelOrder", {"order_id": "1"})),
        await export(
            inspection, "order-1", version=2, command=("UpdateOrderStatus", {"order_id": "1", "status": "confirmed"})
        ),
    ]
    for number, source in enumerate(sources):
        (tmp_path / f"test_exported_{number}.py").write_text(source, "utf-8")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + "\n".join(sources)
    with pytest.raises(ExportRefused, match="nothing in it"):
        await export(inspection, "order-9")
    with pytest.raises(ExportRefused, match="not known"):
        await export(Inspection(service.store), "order-1")


# --- what cannot be read ----------------------------------------------------------------------------------------------


def event(type: str, data: object, said: Metadata | None = None, schema: int = 1) -> NewEvent:
    return NewEvent(
        id=uuid4(),
        type=type,
        schema=schema,
        data=data if isinstance(data, bytes) else msgspec.json.encode(data),
        metadata=said or Metadata.new(),
    )


async def test_what_cannot_be_read_is_shown_as_such_and_hides_nothing() -> None:
    async with MemoryStore() as store:
        inspection = Inspection(store, MODEL)
        created, *_ = order.decide(create("1"), order.initial)
        strange = [
            codec.encode(created, Metadata.new()),
            event("OrderBurnt", {"by": "a dragon"}),
            event("OrderCancelled", {"previous_status": 7}),
            event("OrderCancelled", b"\xff<not json>"),
            event("OrderCreated", {}, schema=9),
        ]
        await store.append("order-1", strange, expected=0)
        found = await history(inspection, "order-1")
        troubles = [each.trouble for each in found.events]
        assert troubles[0] is None
        assert all(troubles[1:])
        assert [each.version for each in found.events] == [1, 2, 3, 4, 5]
        assert found.events[1].data == {"by": "a dragon"}
        state = await state_at(inspection, "order-1")
        assert (state.version, state.state) == (1, {"status": "pending"})
        assert state.trouble is not None
        assert "version 2" in state.trouble
        explained = await explain(inspection, "order-1")
        assert (explained.version, explained.trouble) == (1, state.trouble)
        assert len((await recent(inspection)).events) == 5
        with pytest.raises(ExportRefused, match="version 2"):
            await export(inspection, "order-1")


async def test_a_damaged_event_is_shown_as_damaged_between_the_others(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        said = Metadata.new()
        for version in range(4):
            await store.append("order-1", [event("Something", {"n": version}, said)], expected=version)
        file = Connection(str(tmp_path / "store.db"))
        file.run("update event set data = x'31' where version = 2")
        file.run("delete from event where version = 3")
        file.close()
        inspection = Inspection(store)
        found = await history(inspection, "order-1")
        assert [(each.version, bool(each.trouble), each.data) for each in found.events] == [
            (1, False, {"n": 0}),
            (2, True, None),
            (3, True, None),
            (4, False, {"n": 3}),
        ]
        assert [(each.position, bool(each.trouble)) for each in (await recent(inspection)).events] == [
            (4, False),
            (2, True),
            (1, False),
        ]
        tree = await correlation(inspection, said.correlation_id)
        assert (tree.events, len(tree.troubles)) == (2, 1)
        assert await position_at(store, datetime.now(UTC)) == 4
        assert [hit.position for hit in await find(inspection, "2")] == [2]


async def test_without_a_model_events_are_shown_and_no_state(service: OrderService) -> None:
    await lived(service)
    bare = Inspection(service.store)
    assert (await history(bare, "order-1")).events[0].data["customerId"] == "alice"
    state = await state_at(bare, "order-1", 3)
    assert (state.known, state.version, state.state) == (False, 3, None)
    explained = await explain(bare, "order-1")
    assert (explained.known, explained.fields, explained.rows) == (False, [], [])
    assert (await difference(bare, "order-1", 1, 2)).known is False
    assert await rows(bare, "order-1") == []
    assert forms(bare) == []
    assert [hit.stream for hit in await find(bare, "order-1")] == ["order-1"]
    assert {node.name for node in (await drawing(bare)).nodes} == {"OrderCreated", "OrderStatusUpdated"}


def test_what_is_too_long_is_cut() -> None:
    value = {"text": "x" * 1_000_000, "list": list(range(1000)), "short": "y", "deep": [{"text": "z" * 5000}]}
    cut, was = brief(value)
    assert was
    assert len(msgspec.json.encode(cut)) < 10_000
    assert cut["short"] == "y"
    assert brief({"a": [1, "two"]}) == ({"a": [1, "two"]}, False)


# --- the model, and what is personal ----------------------------------------------------------------------------------


async def test_the_model_is_drawn_from_the_code_with_counts_from_the_log(
    service: OrderService, inspection: Inspection
) -> None:
    await lived(service)
    drawn = await drawing(inspection)
    by_kind = {kind: {node.name for node in drawn.nodes if node.kind is kind} for kind in NodeKind}
    assert by_kind[NodeKind.COMMAND] == {"CreateOrder", "UpdateOrderStatus", "CancelOrder"}
    assert by_kind[NodeKind.DECIDER] == {"order"}
    assert by_kind[NodeKind.EVENT] == {"OrderCreated", "OrderStatusUpdated", "OrderCancelled"}
    assert by_kind[NodeKind.VIEW] == {view.name for view in VIEWS}
    assert "GetDashboard" in by_kind[NodeKind.QUERY]
    assert {node.name: node.count for node in drawn.nodes if node.kind is NodeKind.EVENT} == {
        "OrderCreated": 1,
        "OrderStatusUpdated": 3,
        "OrderCancelled": 0,
    }
    ids = {node.id for node in drawn.nodes}
    assert all({edge.source, edge.target} <= ids for edge in drawn.edges)
    text = mermaid(drawn)
    assert text.startswith("flowchart LR")
    assert text.count("-->") == len(drawn.edges)


@dataclass(frozen=True)
class Moved:
    name: Annotated[str, msgspec.Meta(extra={"personal": True})]
    street: str
    visits: tuple[Annotated[str, msgspec.Meta(extra={"personal": True})], ...] = ()


@dataclass(frozen=True)
class MovedOnce:
    name: Annotated[str | None, msgspec.Meta(extra={"personal": True})] = None
    moves: int = 0


def moved(state: MovedOnce, event: Moved) -> MovedOnce:
    return MovedOnce(event.name, state.moves + 1)


people: Category[Moved, MovedOnce, Moved] = Category(
    "person",
    Decider(lambda command, _: [command], moved, MovedOnce()),
    Codec({"Moved": Schema(Moved, {1: lambda old: old | {"street": "?"}})}),
    lambda _: "1",
)


def unmoved(_state: MovedOnce, event: Moved) -> MovedOnce:
    raise LookupError(f"nobody is called {event.name}")


def refused(command: Moved, state: MovedOnce) -> list[Moved]:
    raise LookupError(f"{state.name} is not {command.name}")


@pytest.mark.parametrize("personal", [False, True])
async def test_what_errors_quote_is_for_who_may_see_what_is_personal(personal: bool) -> None:
    stuck = replace(people, decider=Decider(people.decider.decide, unmoved, MovedOnce()))
    strict = replace(people, decider=Decider(refused, moved, MovedOnce()))
    async with MemoryStore() as store:
        await store.append("person-1", [people.codec.encode(Moved("Ada", "x"), Metadata.new())], expected=0)
        for category, kind in ((stuck, "LookupError"), (strict, "LookupError")):
            seen = Inspection(store, Model("People", [Deciding(category, [Moved])]), personal=personal)
            answers = [
                await state_at(seen, "person-1"),
                await explain(seen, "person-1"),
                await difference(seen, "person-1", 0, 1),
                await try_command(seen, "Moved", {"name": "Bob", "street": "x"}),
            ]
            text = msgspec.json.encode(answers).decode()
            assert kind in text
            assert ("Ada" in text) == personal
        await store.append("person-1", [event("Moved", {"name": 5, "street": "y"}, schema=2)], expected=1)
        seen = Inspection(store, Model("People", [Deciding(people, [Moved])]), personal=personal)
        said = msgspec.json.encode([await history(seen, "person-1"), await state_at(seen, "person-1")]).decode()
        assert "EventUnreadable" in said or personal
        assert ("Expected" in said) == personal


async def test_personal_fields_are_masked_for_who_may_not_see_them() -> None:
    model = Model("People", [Deciding(people, [Moved])])
    async with MemoryStore() as store:
        await store.append("person-1", [event("Moved", {"name": "Ada"}, schema=1)], expected=0)
        for name in ("Ada", "Bob"):
            await store.append(
                "person-1", [people.codec.encode(Moved(name, "Main Street", ("Eve",)), Metadata.new())], expected=None
            )
        await store.append("note-1", [event("Noted", {"text": "Ada"})], expected=0)
        masked = Inspection(store, model, personal=False)
        answers = [
            await history(masked, "person-1"),
            await history(masked, "note-1"),
            await state_at(masked, "person-1"),
            await explain(masked, "person-1"),
            await difference(masked, "person-1", 1, 3),
            await recent(masked),
            await try_command(masked, "Moved", {"name": "Bob", "street": "x"}),
            shown(masked, await anext(aiter(store.read("person-1", after=2))), whole=True),
        ]
        text = msgspec.json.encode(answers).decode()
        assert not any(name in text for name in ("Ada", "Bob", "Eve"))
        assert "Main Street" in text
        explained = await explain(masked, "person-1")
        assert {field.path: field.set_by and field.set_by.version for field in explained.fields} == {
            "name": 3,
            "moves": 3,
        }
        assert [change.path for change in (await difference(masked, "person-1", 1, 3)).changes] == ["name", "moves"]
        assert "Ada" in msgspec.json.encode(await history(Inspection(store, model), "person-1")).decode()
