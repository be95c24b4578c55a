"""Traces of the service: one trace from the caller's span through HTTP, command and append, linked behind the log."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.domain import OrderNotFound, Status, UpdateOrderStatus
from orders.settings import Lifecycle, Settings
from talking import JSON, encode
from twofold import Metadata, tracing
from twofold.errors import StoreBusy
from twofold.logs import JsonLines

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def exporter() -> Generator[InMemorySpanExporter]:
    """What takes the spans of this process for the time of a test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace_with(provider)
    yield exporter
    tracing.trace_with(None)
    provider.shutdown()


@pytest.fixture
async def service(exporter: InMemorySpanExporter, url: str) -> AsyncGenerator[OrderService]:
    async with open_service(url, lifecycle=Lifecycle.SUBSCRIBED) as opened:
        yield opened


@pytest.fixture
async def http(service: OrderService) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(service, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON) as client:
        yield client


async def named(exporter: InMemorySpanExporter, name: str) -> Sequence[ReadableSpan]:
    """The spans of a name, once there are any."""
    async with asyncio.timeout(30):
        while True:
            found = [span for span in exporter.get_finished_spans() if span.name == name]
            if found:
                return found
            await asyncio.sleep(0.01)


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


async def test_a_trace_goes_from_the_caller_to_the_append_and_is_linked_behind_the_log(
    service: OrderService, http: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    created = await http.post("/orders", content=encode(body(customerId="Ms. Nobody")), headers=CALLER)
    assert created.status_code == 201
    (request,) = await named(exporter, "POST /orders")
    (command,) = await named(exporter, "CreateOrder")
    (append,) = await named(exporter, "append order")
    assert parent_of(request) == PARENT
    assert parent_of(command) == ids(request)[1]
    assert parent_of(append) == ids(command)[1]
    assert {ids(span)[0] for span in (request, command, append)} == {TRACE}
    assert (request.kind, command.kind, append.kind) == (SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/orders",
        "http.response.status_code": 201,
    }
    assert append.attributes == {"twofold.category": "order", "twofold.events": 1}

    (event,) = [event async for event in service.store.read_all()]
    assert event.metadata.extra == {"traceparent": f"00-{TRACE}-{ids(command)[1]}-01"}
    assert command.attributes == {
        "twofold.message_id": str(event.metadata.message_id),
        "twofold.correlation_id": str(event.metadata.correlation_id),
    }
    for view in ("order_details_v2", "sales_v2"):  # each of their parts that follows the log folds the page
        for page in await named(exporter, f"project {view}"):
            assert page.parent is None
            assert ids(page)[0] != TRACE
            (link,) = page.links
            assert format_span_id(link.context.span_id) == ids(command)[1]
            assert page.attributes is not None
            assert page.attributes["twofold.last_position"] == event.position
    assert "Nobody" not in "".join(span.to_json() for span in exporter.get_finished_spans())


async def test_a_request_without_a_caller_begins_a_trace_and_nonsense_is_none(
    http: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    for headers in ({}, {"traceparent": "nonsense"}, {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}):
        exporter.clear()
        assert (await http.get("/orders/x", headers=headers)).status_code == 404
        (request,) = await named(exporter, "GET /orders/{orderId}")
        assert request.parent is None
        assert request.status.status_code is StatusCode.UNSET, "a client's mistake is no error"
        (query,) = await named(exporter, "GetOrder")
        assert parent_of(query) == ids(request)[1]


async def test_unknown_methods_and_paths_name_no_span(http: httpx.AsyncClient, exporter: InMemorySpanExporter) -> None:
    await http.request("NOBODY", "/Ms. Nobody")
    (request,) = await named(exporter, "_OTHER")
    assert request.attributes == {"http.request.method": "_OTHER", "http.response.status_code": 404}


async def test_refusals_are_no_errors_and_failures_are(
    service: OrderService,
    http: httpx.AsyncClient,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (await http.patch("/orders/x/status", json={"status": "shipped"})).status_code == 404
    (refused,) = await named(exporter, "UpdateOrderStatus")
    assert refused.attributes is not None
    assert refused.attributes["error.type"] == OrderNotFound.__name__
    assert refused.status.status_code is StatusCode.UNSET

    async def busy(*_given: object, **_more: object) -> None:
        raise StoreBusy("Ms. Nobody holds it")

    monkeypatch.setattr(service.store, "append", busy)
    assert (await http.post("/orders", content=encode(body()))).status_code == 503
    for name in ("POST /orders", "CreateOrder", "append order"):
        (failed,) = await named(exporter, name)
        assert failed.status.status_code is StatusCode.ERROR
        assert not failed.events, "an error's text is not in a span"
    assert "Nobody" not in "".join(span.to_json() for span in exporter.get_finished_spans())


async def test_what_an_event_causes_goes_on_with_its_trace(
    service: OrderService, http: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    await http.post("/orders", content=encode(body()), headers=CALLER)
    (event,) = [event async for event in service.store.read_all()]
    order_id = event.stream.removeprefix("order-")
    caused = event.metadata.caused()  # as a process would, long after the request
    await service.commands.execute(UpdateOrderStatus(order_id, Status.CONFIRMED), caused)
    (first,) = await named(exporter, "CreateOrder")
    (second,) = await named(exporter, "UpdateOrderStatus")
    assert ids(second)[0] == TRACE
    assert parent_of(second) == ids(first)[1]


async def test_log_lines_name_the_span(http: httpx.AsyncClient, exporter: InMemorySpanExporter) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines().format(record))

    log, kept = logging.getLogger("twofold.messages"), Kept()
    log.addHandler(kept)
    log.setLevel(logging.INFO)
    try:
        await http.patch("/orders/x/status", json={"status": "shipped"}, headers=CALLER)
    finally:
        log.removeHandler(kept)
        log.setLevel(logging.NOTSET)
    (line,) = lines
    (command,) = await named(exporter, "UpdateOrderStatus")
    assert (json.loads(line)["trace_id"], json.loads(line)["span_id"]) == ids(command)


async def test_where_nobody_traces_nothing_is_wrapped_and_nothing_kept() -> None:
    async with open_service("memory:") as service:
        transport = httpx.ASGITransport(application(service, Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON) as client:
            assert (await client.post("/orders", content=encode(body()), headers=CALLER)).status_code == 201
        (event,) = [event async for event in service.store.read_all()]
    assert event.metadata.extra == {}
    assert tracing.middleware() == ()
    assert Metadata.new().extra == {}


PROGRAM = """
import asyncio, sys
PREPARE
from orders.app import open_service
from twofold import tracing

async def main():
    async with open_service("memory:"):
        print(tracing.spans() is not None, "opentelemetry.trace" in sys.modules)

asyncio.run(main())
"""
PREPARE = {
    "": "False False",
    "import opentelemetry.trace": "False True",
    "from opentelemetry import trace; trace.set_tracer_provider(trace.NoOpTracerProvider())": "False True",
    "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
    "trace.set_tracer_provider(TracerProvider())": "True True",
}


@pytest.mark.parametrize("prepare", PREPARE)
def test_it_traces_if_and_only_if_the_application_has_set_a_provider(prepare: str) -> None:
    program = PROGRAM.replace("PREPARE", prepare)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == PREPARE[prepare]
