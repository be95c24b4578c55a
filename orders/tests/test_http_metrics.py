"""/metrics, as Prometheus reads it: true numbers, bounded labels, and nothing where others than this machine listen."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # mypy brings no types of it, pyright does
from prometheus_client.parser import text_string_to_metric_families

from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.settings import Lifecycle, SettingRefused, Settings
from servers import start
from talking import JSON, encode
from twofold import Metadata
from twofold.board import MEMORY
from twofold.errors import StoreBusy
from twofold.metrics import numbers

Samples = Mapping[str, float]


@asynccontextmanager
async def client_of(service: OrderService, settings: Settings | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(service, settings or Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON) as client:
        yield client


def samples_in(text: str) -> Samples:
    """The samples by name and labels, `name{a=1,b=2}`; those of the process without its label."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            given = ",".join(f"{key}={labels[key]}" for key in sorted(labels) if key != "process")
            found[f"{name}{{{given}}}"] = value
    return found


async def samples_of(client: httpx.AsyncClient) -> Samples:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return samples_in(response.text)


async def wait_for(client: httpx.AsyncClient, name: str, value: float) -> None:
    """Wait until a number has come to a value."""
    async with asyncio.timeout(30):
        while (await samples_of(client))[name] != value:  # noqa: ASYNC110 - it cannot tell
            await asyncio.sleep(0.05)


async def test_the_numbers_are_those_of_what_was_done(url: str) -> None:
    async with open_service(url) as service, client_of(service) as client:
        order = (await client.post("/orders", content=encode(body()))).json()["orderId"]
        await client.post("/orders", content=encode(body()))
        assert (await client.patch(f"/orders/{order}/status", json={"status": "confirmed"})).status_code == 200
        assert (await client.patch(f"/orders/{order}/status", json={"status": "delivered"})).status_code == 409
        assert (await client.get(f"/orders/{order}")).status_code == 200
        assert (await client.get("/orders/nobody")).status_code == 404
        assert (await client.post("/orders", content=b"{")).status_code == 400
        assert (await client.get("/nothing/here")).status_code == 404
        assert (await client.request("SECRET", "/orders")).status_code == 405
        told = await samples_of(client)
    count = "twofold_http_request_seconds_count"
    assert told[f"{count}{{method=POST,route=/orders,status=2xx}}"] == 2
    assert told[f"{count}{{method=POST,route=/orders,status=4xx}}"] == 1
    assert told[f"{count}{{method=PATCH,route=/orders/{{orderId}}/status,status=2xx}}"] == 1
    assert told[f"{count}{{method=PATCH,route=/orders/{{orderId}}/status,status=4xx}}"] == 1
    assert told[f"{count}{{method=GET,route=/orders/{{orderId}},status=2xx}}"] == 1
    assert told[f"{count}{{method=GET,route=/orders/{{orderId}},status=4xx}}"] == 1
    assert told[f"{count}{{method=unknown,route=unknown,status=4xx}}"] == 2
    assert told["twofold_command_seconds_count{command=CreateOrder,outcome=done}"] == 2
    assert told["twofold_command_seconds_count{command=UpdateOrderStatus,outcome=done}"] == 1
    assert told["twofold_command_seconds_count{command=UpdateOrderStatus,outcome=refused}"] == 1
    assert told["twofold_query_seconds_count{outcome=done,query=GetOrder}"] == 2
    assert told["twofold_append_events_total{}"] == told["twofold_append_seconds_count{}"] == 3
    assert told["twofold_append_seconds_bucket{le=+Inf}"] == 3
    assert told["twofold_append_conflicts_total{}"] == 0
    assert told["twofold_head_position{}"] == 3
    assert told["twofold_store_up{}"] == 1
    for view in ("order_details_v2", "sales_v2"):
        assert told[f"twofold_projection_position{{projection={view}}}"] == 3
        assert told[f"twofold_projection_lag_events{{projection={view}}}"] == 0
        assert told[f"twofold_projection_parked_letters{{projection={view}}}"] == 0
        states = {name: value for name, value in told.items() if f"_state{{projection={view}" in name}
        assert sum(states.values()) == states[f"twofold_projection_state{{projection={view},state=following}}"] == 1


async def test_what_lags_and_what_is_parked_is_told(url: str) -> None:
    opening = open_service(url, lifecycle=Lifecycle.SUBSCRIBED, lease_seconds=0.5)
    async with opening as service, client_of(service) as client:
        paused = {"reason": "a test"}
        assert (await client.post("/projections/order_details/pause", json=paused)).status_code == 204
        prefer = {"Prefer": "wait=0"}
        assert (await client.post("/orders", content=encode(body()), headers=prefer)).status_code == 201
        await asyncio.sleep(0.05)
        told = await samples_of(client)
    assert told["twofold_projection_lag_events{projection=order_details_v2}"] == 1
    assert told["twofold_projection_lag_seconds{projection=order_details_v2}"] >= 0.05
    assert told["twofold_projection_state{projection=order_details_v2,state=paused}"] == 1


async def test_clients_of_streams_are_counted(tmp_path: Path) -> None:
    with start(f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "log") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            order = (await client.post("/orders", content=encode(body()), headers=JSON)).json()["orderId"]
            async with client.stream("GET", f"/orders/{order}", headers={"Accept": "text/event-stream"}) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data"):
                        break
                assert (await samples_of(client))["twofold_streams_open{}"] == 1
            await wait_for(client, "twofold_streams_open{}", 0)


async def test_a_store_that_does_not_answer_hides_no_other_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy() -> int:
        raise StoreBusy("too much waits")

    async with open_service("memory:") as service, client_of(service) as client:
        await client.post("/orders", content=encode(body()))
        monkeypatch.setattr(service.store, "head", busy)
        told = await samples_of(client)
    assert told["twofold_store_up{}"] == 0
    assert told["twofold_append_events_total{}"] == 1
    assert not [name for name in told if "head" in name or "projection" in name]


async def test_labels_are_bounded_whatever_clients_send() -> None:
    async with open_service("memory:") as service, client_of(service) as client:
        for number in range(50):
            await client.get(f"/orders/x{number}")
            await client.get(f"/no/{number}")
            await client.request(f"M{number}", f"/orders/x{number}")
        told = await numbers(service.metrics, service.views)
    assert len(told.processes[0].requests) == 2
    assert json.dumps([each.route for each in told.processes[0].requests]) == '["/orders/{orderId}", "unknown"]'


async def test_it_is_served_where_only_this_machine_can_ask_or_where_it_is_asked_for() -> None:
    async with open_service("memory:") as service:
        for host, metrics, status in (
            ("127.0.0.1", None, 200),
            ("localhost", None, 200),
            ("0.0.0.0", None, 404),  # noqa: S104 - nobody listens there
            ("0.0.0.0", True, 200),  # noqa: S104 - nor there
            ("127.0.0.1", False, 404),
        ):
            async with client_of(service, Settings(host=host, metrics=metrics)) as client:
                assert (await client.get("/metrics")).status_code == status
        async with client_of(service) as client:
            assert (await client.get("/metrics?secret=1")).status_code == 400
            assert (await client.post("/metrics")).status_code == 405
            head = await client.head("/metrics")
            assert head.status_code == 200
            openmetrics = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
            assert openmetrics.text.endswith("# EOF\n")


def test_the_setting() -> None:
    for text, value in (("true", True), ("false", False), ("1", True), ("True", True)):
        assert Settings.load({"TWOFOLD_METRICS": text}).metrics is value
    assert Settings.load({}).metrics is None
    assert Settings.load(Settings(metrics=True).variables()).metrics is True
    with pytest.raises(SettingRefused, match="metrics"):
        Settings.load({"TWOFOLD_METRICS": "perhaps"})


async def test_no_number_names_an_order_a_customer_or_a_path() -> None:
    async with open_service("memory:") as service, client_of(service) as client:
        order = (await client.post("/orders", content=encode(body(customerId="Ms. Nobody")))).json()["orderId"]
        await client.get(f"/orders/{order}")
        await client.get("/customers/Ms.%20Nobody/orders")
        await client.get("/Ms. Nobody")
        text = (await client.get("/metrics")).text
    assert not re.search(f"{order}|Nobody", text)
    assert Metadata.new().extra == {}


REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


async def test_the_reference_has_every_metric_and_no_other() -> None:
    written = re.findall(r"^\| `(twofold_\w+)` \| (\w+) \|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    async with open_service("memory:") as service, client_of(service) as client:
        families = text_string_to_metric_families((await client.get("/metrics")).text)
        told = {f"{one.name}_total" if one.type == "counter" else one.name: one.type for one in families}
    assert dict(written) == told


GRAFANA = REFERENCE.parents[1] / "grafana"


def series_in_use() -> set[str]:
    """The names of all series that the dashboard and the alerts ask for."""
    dashboard = json.loads((GRAFANA / "twofold.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if "job" in variable["name"]]
    alerts = yaml.safe_load((GRAFANA / "alerts.yml").read_text("utf-8"))
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert all(expression.count("(") == expression.count(")") for expression in asked)
    return {name for expression in asked for name in re.findall(r"twofold_\w+", expression)}


async def test_dashboard_and_alerts_ask_only_for_what_is_served() -> None:
    async with open_service("memory:") as service, client_of(service) as client:
        await client.post("/orders", content=encode(body()))
        await client.get("/orders/x")
        text = (await client.get("/metrics")).text
    served = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    in_use = series_in_use()
    assert len(in_use) > 15
    assert in_use <= served


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a port between processes")
def test_whichever_process_is_asked_tells_the_numbers_of_all(tmp_path: Path) -> None:
    folders = set(MEMORY.glob("twofold-*"))
    with start(f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "log", processes=2) as server:
        sent, made, deadline = encode(body()), 0, time.monotonic() + 60
        told: Mapping[str, float] = {}
        while not all(told.get(name) for name in ("1", "2")):  # each request comes to one of them, by a new connection
            assert time.monotonic() < deadline, told
            assert httpx.post(f"{server.url}/orders", content=sent, headers=JSON, timeout=30).status_code == 201
            made += 1
            told = events_by_process(server.url)
        for _ in range(3):
            time.sleep(1.5)  # each has told the other all by now
            assert sum(events_by_process(server.url).values()) == made
        assert server.stop() == 0
    assert set(MEMORY.glob("twofold-*")) <= folders, "a folder was left behind"


def events_by_process(url: str) -> Mapping[str, float]:
    """How many events each process has appended, as either of them tells."""
    text = httpx.get(f"{url}/metrics", timeout=30).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {one.labels["process"]: one.value for one in samples if one.name == "twofold_append_events_total"}
