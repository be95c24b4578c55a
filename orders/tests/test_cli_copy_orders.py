"""The order service goes on on a copy of its log, as `twofold copy` makes it."""

import json
import subprocess
import sys
from pathlib import Path

from commands import command, file_of, line
from order_samples import bring, create
from orders.app import open_service
from orders.domain import CancelOrder, Status
from orders.queries import GetDashboard, GetOrder
from twofold import Metadata
from twofold.messages import Idempotency


def copy(source: str, target: str) -> dict[str, object]:
    """Run `twofold copy`."""
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "copy", source, target, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    outcome: dict[str, object] = json.loads(done.stdout)
    return outcome


async def test_the_service_goes_on_on_a_copy(tmp_path: Path) -> None:
    source, target = (f"sqlite:///{tmp_path / name}.db" for name in ("from", "to"))
    file = file_of(tmp_path / "file", [line(number, ships=number % 3 == 0) for number in range(40)])
    assert command("import", file, "--to", source)[0] == 0
    asked = Metadata.new(idempotency=Idempotency("key", "request"))
    async with open_service(source) as service:
        for order_id in ("one", "two"):
            await service.commands.execute(create(order_id))
        await bring(service, "one", Status.SHIPPED)
        await bring(service, "two", Status.CONFIRMED)
        cancelled = await service.commands.execute(CancelOrder("two", "changed my mind"), asked)
        head = await service.store.head()
    assert copy(source, target) == {"copied": head, "position": head, "head": head, "same": head}

    async with open_service(source) as service, open_service(target) as copied:
        for query in (GetOrder("one"), GetOrder("two"), GetOrder("one", 2)):
            assert await copied.queries.ask(query) == await service.queries.ask(query)
        assert await copied.queries.ask(GetDashboard("USD")) == await service.queries.ask(GetDashboard("USD"))
        again = await copied.commands.execute(CancelOrder("two", "changed my mind"), asked)
        assert (again.repeated, again.version, again.position) == (True, cancelled.version, cancelled.position)
        await copied.commands.execute(create("three"))
        await bring(copied, "three", Status.DELIVERED)
    code, printed, _ = command("verify", "--store", target)
    assert code == 0
    assert "No difference" in printed
    # The same import finds all its orders there.
    code, printed, _ = command("import", file, "--to", target, "--json")
    assert (code, json.loads(printed)["alreadyThere"]) == (0, 40)
