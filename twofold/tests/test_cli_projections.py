"""The commands `twofold projections` and `twofold parked`, as processes beside one that runs the projections."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
from uuid_utils.compat import uuid7

from kept_views import append
from small_orders import BoughtProducts, ItemAdded, Opened, OpenOrder, OpenOrders, OrderEvent, bought, source
from test_cli_twofold import INTERRUPTIBLE, TWOFOLD, command, started
from twofold import Metadata, NewEvent, Recorded
from twofold.cli import main
from twofold.cli.printing import duration
from twofold.cli.statuses import COLOURS, Pace, Paces, print_statuses
from twofold.cli.subscriptions import open_any
from twofold.connect import connect
from twofold.errors import EventCorrupt, StoreUnavailable
from twofold.overview import State, Status, overview
from twofold.parked import Parked
from twofold.running import running
from twofold.store import Store
from twofold.views import TableView, Views

POISON = "\x1b[31mpoison"  # no text of an event may change the terminal
NAME = "open_orders_v1"


class Faulty(OpenOrders):
    """Raises for one product."""

    def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
        if isinstance(recorded.data, ItemAdded) and recorded.data.product == POISON:
            raise ValueError(f"cannot take {POISON}")
        return super().evolve(view, recorded)


@pytest.fixture(autouse=True)
def _wide_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not wrapped, and what fails is soon tried for the last time."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("twofold.letters.RETRY_SECONDS", (0.05, 0.05, 0.05))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    database: str = request.getfixturevalue("postgres_url")
    return database


@asynccontextmanager
async def run_views(url: str, *, faulty: bool = False, partitions: int = 1) -> AsyncGenerator[Views]:
    """A process that runs two projections on the store."""
    first = TableView(Faulty() if faulty else OpenOrders(), source)
    async with connect(url) as store:
        views = Views(store, subscribed=[first, bought()], partitions=partitions)
        await views.start()
        async with running(views, lease_seconds=0.5):
            yield views


Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command to its end while the projections go on: its exit code, what it printed, what it complained.

    In this process, on a thread, because it is quicker. Some tests start processes all the same.
    """

    async def run(*arguments: str) -> tuple[int, str, str]:
        with patch.object(sys, "argv", ["twofold", *arguments]), pytest.raises(SystemExit) as left:
            await asyncio.to_thread(main)
        printed, complained = capsys.readouterr()
        return int(left.value.code or 0), printed, complained

    return run


async def statuses(run: Run, url: str) -> dict[str, dict[str, Any]]:
    """What `twofold projections --json` says, by name."""
    code, printed, _ = await run("projections", "--store", url, "--json")
    assert code == 0
    return {status["name"]: status for status in json.loads(printed)["projections"]}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def letters_of(views: Views) -> int:
    """How many events of the first projection wait."""
    return (await Parked(views.store).count(NAME))[0]


@asynccontextmanager
async def with_poison(url: str) -> AsyncGenerator[Views]:
    """Two orders, one of which the projection cannot take: positions 2, 3 and 4 are parked, and wait to be asked."""
    async with run_views(url, faulty=True) as views:
        await append(views.store, "order-\x1b[2Jodd", Opened("ann"), *(ItemAdded(POISON, Decimal(1)) for _ in range(3)))
        await append(views.store, "order-other", Opened("bob"))

        async def waits() -> bool:
            letters = await Parked(views.store).letters(NAME)
            return len(letters) == 3 and letters[0].retry_at is None

        await until(waits)
        yield views


# --- how they stand ---------------------------------------------------------------------------------------------------


async def test_projections_are_listed_with_state_position_and_owner(run: Run, url: str) -> None:
    async with run_views(url) as views:
        await append(views.store, "order-1", Opened("ann"), ItemAdded("Chai", Decimal(1)))

        async def follow() -> bool:
            return all(status["position"] == 2 for status in (await statuses(run, url)).values())

        await until(follow)
        code, printed, complained = await asyncio.to_thread(command, "projections", "--store", url)
        assert (code, complained) == (0, "")
        lines = printed.splitlines()
        assert lines[0].split() == ["Projection", "State", "Position", "Head", "Behind", "Lag", "Parked", "Run", "by"]
        assert lines[1].split()[:7] == ["bought_v1", "following", "2", "2", "0", "-", "-"]
        assert lines[2].startswith(NAME)
        told = (await statuses(run, url))[NAME]
        assert str(os.getpid()) in told.pop("owners")[0]
        assert told == {
            "name": NAME,
            "state": "following",
            "inline": False,
            "position": 2,
            "head": 2,
            "behind": 0,
            "seconds": 0.0,
            "letters": 0,
            "sequences": 0,
            "reason": None,
        }
        assert (await run("projections", "--check", "--store", url))[0] == 0
    code, printed, _ = await run("projections", "--store", url, "--check")
    assert code == 1
    assert f"{NAME} is detached: no process runs it" in printed


async def test_a_store_without_subscriptions_is_told_so(run: Run, url: str) -> None:
    async with connect(url):
        pass
    assert await run("projections", "--store", url) == (
        0,
        "There are no subscriptions; inline views are known only with the code of their application\n",
        "",
    )
    assert await statuses(run, url) == {}
    assert await run("parked", "--store", url) == (0, "Nothing is parked\n", "")
    code, _, complained = await run("projections", "pause", "sales", "--reason", "x", "--store", url)
    assert code == 2
    assert "there is no projection named sales; there are: none" in complained


async def test_a_paused_projection_stands_still_until_it_is_resumed(run: Run, url: str) -> None:
    async with run_views(url) as views:
        await append(views.store, "order-1", Opened("ann"))

        async def at_head() -> bool:
            behind: int = (await statuses(run, url))[NAME]["behind"]
            return behind == 0

        await until(at_head)
        code, printed, _ = await run("projections", "pause", NAME, "--reason", " a\x1bmigration ", "--store", url)
        paused = re.fullmatch(f"{NAME} paused at position ([12])\n", printed)  # it may see that it is to be paused
        assert code == 0
        assert paused is not None
        position = int(paused[1])
        await append(views.store, "order-2", Opened("bob"))
        await asyncio.sleep(0.3)
        told = await statuses(run, url)
        standing = (told[NAME]["state"], told[NAME]["reason"], told[NAME]["position"])
        assert standing == ("paused", "a\x1bmigration", position)
        assert told[NAME]["seconds"] > 0.2
        assert told["bought_v1"]["position"] == await views.store.head()
        _, printed, _ = await run("projections", "--store", url)
        assert f"{NAME} is paused: a\ufffdmigration" in printed
        code, printed, _ = await run("projections", "resume", NAME, "--json", "--store", url)
        assert (code, json.loads(printed)) == (0, {"name": NAME, "done": "resumed", "position": position})
        await until(at_head)


# --- watched ----------------------------------------------------------------------------------------------------------


async def test_a_watch_prints_a_line_a_second_as_json(url: str) -> None:
    async with run_views(url) as views:
        with started("projections", "--watch", "--json", "--store", url) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = json.loads(await asyncio.to_thread(process.stdout.readline))
            await append(views.store, "order-1", *(ItemAdded("Chai", Decimal(1)) for _ in range(50)))
            second = json.loads(await asyncio.to_thread(process.stdout.readline))
            third = json.loads(await asyncio.to_thread(process.stdout.readline))
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(process.wait, 30) == 130
            assert process.stderr.read() == ""
    assert {status["rate"] for status in first["projections"]} == {None}
    assert max(status["rate"] for line in (second, third) for status in line["projections"]) > 5
    assert {status["secondsLeft"] for status in third["projections"]} == {0.0}
    assert first["at"] < second["at"] < third["at"]


async def test_a_watch_refreshes_a_terminal_in_place(url: str) -> None:
    async with run_views(url):
        code, shown = await asyncio.to_thread(watched, url)
    assert code == 130
    assert NAME.encode() in shown
    assert b"\x1b[32mfollowing" in shown
    assert b"\x1b[?25h" in shown.split(b"\x1b[?25l")[-1]  # the cursor that was hidden is given back
    assert b"Traceback" not in shown


def watched(url: str) -> tuple[int, bytes]:
    """The exit code of a watch at a terminal that is interrupted once it has refreshed, and all that it showed."""
    main, terminal = pty.openpty()
    # Whoever runs the tests may want no colour of them. This watch is to show colour, as a terminal gets it by default.
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    with subprocess.Popen(
        [*INTERRUPTIBLE, *TWOFOLD, "projections", "--watch", "--store", url],
        env={**inherited, "TERM": "xterm-256color"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        try:
            shown = read_until(main, [b"Rate", b"Caught up in", b"\x1b[1A", b"/s"])
            process.send_signal(signal.SIGINT)
            shown += read_until(main, [])
            return process.wait(30), shown
        finally:
            process.kill()
            os.close(main)


async def test_a_watch_goes_on_while_the_store_cannot_be_reached(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Exception | None] = [None, StoreUnavailable("nobody is there"), None]

    async def sometimes(store: Store, views: Views | None = None) -> list[Status]:
        answer = answers.pop(0) if answers else None
        if answer is not None:
            raise answer
        return await overview(store, views)

    monkeypatch.setattr("twofold.cli.statuses.overview", sometimes)
    monkeypatch.setattr("twofold.cli.statuses.REFRESH_SECONDS", 0.01)
    async with run_views(url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await print_statuses(open_any, url, watch=True, json=True)
    printed, complained = capsys.readouterr()
    assert complained == "error: nobody is there\n"
    assert len(printed.splitlines()) > 2


def read_until(terminal: int, wanted: list[bytes]) -> bytes:
    """What a terminal shows until all of this was seen; until its end if nothing is wanted."""
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the end of a terminal whose last process has gone
            return shown
        if wanted and all(each in shown for each in wanted):
            return shown
    raise AssertionError(f"not shown: {wanted} in {shown!r}")


def status(position: int, head: int) -> Status:
    """A projection that catches up."""
    behind = head - position
    return Status(NAME, State.CATCHING_UP, False, position, head, behind, 1.0, 0, 0, (), None)


def test_a_pace_is_that_of_the_last_refreshes() -> None:
    paces = Paces()
    assert paces.note(status(0, 100), 0.0) == Pace(None, None)
    assert paces.note(status(20, 110), 1.0) == Pace(20.0, 9.0)  # 90 behind, 10 fewer each second
    assert paces.note(status(20, 110), 2.0) == Pace(10.0, 18.0)
    assert paces.note(status(30, 200), 3.0) == Pace(10.0, None)  # the log grows faster
    assert paces.note(status(200, 200), 4.0) == Pace(50.0, 0.0)
    assert paces.note(status(5, 200), 5.0) == Pace(None, None)  # it was reset
    last = [paces.note(status(5 + second, 200), float(second)) for second in range(6, 40)][-1]
    assert last.rate == 1.0


def test_every_state_has_its_colour_and_spans_of_time_their_unit() -> None:
    assert set(COLOURS) == set(State)
    assert [duration(seconds) for seconds in (0, 9.94, 45.4, 119, 300, 7300, 86_400 * 3)] == [
        *("0.0 s", "9.9 s", "45 s", "119 s", "5 min", "2 h", "3 d")
    ]


# --- what is parked -------------------------------------------------------------------------------------------------


async def test_parked_events_are_listed_by_sequence(run: Run, url: str) -> None:
    async with with_poison(url):
        code, printed, complained = await asyncio.to_thread(command, "parked", NAME, "--store", url)
        assert (code, complained) == (0, "")
        assert "\x1b" not in printed
        heading, columns, letter, *_ = printed.splitlines()
        assert heading == NAME
        assert columns.split() == ["Sequence", "First", "Events", "Attempts", "Next", "Why"]
        assert letter.split()[:6] == ["\ufffd[2Jodd", "2", "3", "4", "when", "asked"]
        assert "cannot take \ufffd[31m" in printed
        assert await run("parked", "--store", url) == (code, printed, complained)
        assert (await run("parked", "bought_v1", "--store", url))[1] == "Nothing of bought_v1 is parked\n"
        _, printed, _ = await run("parked", NAME, "--json", "--store", url)
        first, second, third = (json.loads(line) for line in printed.splitlines())
        assert (first["sequence"], first["position"], first["attempts"]) == ("\x1b[2Jodd", 2, 4)
        assert first["error"] == f"ValueError: cannot take {POISON}"
        assert (second["position"], second["attempts"], second["retryAt"]) == (3, 0, None)
        assert third["position"] == 4
        _, printed, _ = await run("projections", "--store", url)
        assert "3 in 1" in printed
        assert (await run("projections", "--check", "--store", url))[0] == 1


async def test_a_parked_event_is_shown_as_it_stands_in_the_log(run: Run, url: str) -> None:
    async with with_poison(url):
        code, printed, _ = await run("parked", "show", NAME, "2", "--store", url)
        assert code == 0
        assert "\x1b" not in printed
        for text in ("order-\ufffd[2Jodd", "ItemAdded (schema 1)", '"product":', "cannot take", "when asked"):
            assert text in printed
        trace = printed.partition("Trace")[2].split("Next")[0]
        assert "ValueError" in trace
        assert re.search(r"test_cli_projections:\d+ in Faulty\.evolve", trace)
        _, printed, _ = await run("parked", "show", NAME, "3", "--json", "--store", url)
        shown = json.loads(printed)
        assert (shown["event"]["position"], shown["event"]["data"]["product"]) == (3, POISON)
        assert [letter["error"] for letter in shown["letters"]] == ["an earlier event of its sequence is parked"]
        assert [letter["trace"] for letter in shown["letters"]] == [None]
        code, _, complained = await run("parked", "show", NAME, "1", "--store", url)
        assert (code, complained) == (
            1,
            f"error: event 1 is not parked in {NAME}\n",
        )


async def test_a_parked_event_that_cannot_be_read_is_shown_with_its_letters(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def damaged(_store: Store, _position: int) -> NoReturn:
        raise EventCorrupt("order-\x1b", 2, "ItemAdded", 2)

    async with with_poison(url):
        monkeypatch.setattr("twofold.operating.event_at", damaged)
        code, printed, _ = await run("parked", "show", NAME, "2", "--store", url)
        assert code == 0
        assert "event 2 of order-\ufffd (ItemAdded) cannot be read" in printed
        assert "when asked" in printed
        _, printed, _ = await run("parked", "show", NAME, "2", "--json", "--store", url)
        shown = json.loads(printed)
        assert shown["event"] is None
        assert "cannot be read" in shown["unreadable"]
        assert len(shown["letters"]) == 1


async def test_an_event_is_skipped_for_a_reason_and_taken_back(run: Run, url: str) -> None:
    async with with_poison(url) as views:
        code, _, complained = await run("parked", "skip", NAME, "3", "--reason", "x", "--store", url)
        assert (code, complained) == (
            1,
            "error: event 3 waits behind event 2: only the first can be skipped\n",
        )
        code, printed, _ = await run("parked", "skip", NAME, "2", "--reason", "a test", "--store", url)
        assert (code, printed) == (0, f"event 2 of \ufffd[2Jodd in {NAME} is skipped\n")
        code, printed, _ = await run("parked", NAME, "--store", url)
        assert "skipped" in printed
        assert "a test" in printed
        assert await letters_of(views) == 2
        code, _, complained = await run("parked", "skip", NAME, "2", "--reason", "x", "--store", url)
        assert (code, complained) == (1, "error: event 2 is skipped already, for: a test\n")
        code, printed, _ = await run("parked", "undo-skip", NAME, "2", "--json", "--store", url)
        assert (code, json.loads(printed)) == (
            0,
            {"name": NAME, "sequence": "\x1b[2Jodd", "position": 2, "done": "undone"},
        )
        assert await letters_of(views) == 3
        code, _, complained = await run("parked", "undo-skip", NAME, "2", "--store", url)
        assert (code, complained) == (1, "error: event 2 is not skipped: it waits\n")


async def test_a_skip_that_was_overtaken_cannot_be_undone(run: Run, url: str) -> None:
    async with with_poison(url) as views:
        for position in ("2", "3", "4"):
            assert (await run("parked", "skip", NAME, position, "--reason", "x", "--store", url))[0] == 0
        await append(views.store, "order-\x1b[2Jodd", ItemAdded("Chai", Decimal(1)))

        async def overtaken() -> bool:
            return all(letter.overtaken for letter in await Parked(views.store).letters(NAME))

        await until(overtaken)
        code, _, complained = await run("parked", "undo-skip", NAME, "4", "--store", url)
        assert code == 1
        assert f"rebuild {NAME} to bring it in" in complained
        _, printed, _ = await run("parked", "show", NAME, "4", "--store", url)
        assert "no: later events of its sequence were folded" in printed


async def test_an_event_that_is_parked_in_several_sequences_is_skipped_in_one_that_is_named(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(_: BoughtProducts, view: object, recorded: Recorded[OrderEvent], /) -> None:
        raise ValueError(f"{recorded.type} after {view}")

    monkeypatch.setattr(BoughtProducts, "evolve", raising)
    async with run_views(url) as views:
        await append(views.store, "order-1", ItemAdded("Chai", Decimal(1)))

        async def parked() -> bool:
            return await Parked(views.store).count("bought_v1") == (2, 2)

        await until(parked)
        code, _, complained = await run("parked", "skip", "bought_v1", "1", "--reason", "x", "--store", url)
        assert (code, complained) == (
            1,
            "error: event 1 is parked in several sequences; say in which: Chai, everything\n",
        )
        asked = ("parked", "skip", "bought_v1", "1", "--reason", "x", "--store", url, "--sequence")
        assert (await run(*asked, "Tofu"))[2] == "error: event 1 is not parked in the sequence Tofu of bought_v1\n"
        assert (await run(*asked, "Chai"))[:2] == (0, "event 1 of Chai in bought_v1 is skipped\n")
        assert await Parked(views.store).count("bought_v1") == (1, 1)


async def test_an_event_that_cannot_be_read_is_one_event_however_many_parts_it_is_parked_in(run: Run, url: str) -> None:
    async with run_views(url, partitions=3) as views:
        event = NewEvent(id=uuid7(), type="Opened", schema=1, data=b'{"customer": 5}', metadata=Metadata.new())
        await views.store.append("order-1", [event], expected=0)

        async def parked() -> bool:
            return len(await Parked(views.store).letters(NAME)) == 3

        await until(parked)
        _, printed, _ = await run("parked", NAME, "--store", url)
        assert printed.splitlines()[2].split()[:4] == ["stream", "order-1", "1", "1"]
        code, printed, _ = await run("parked", "skip", NAME, "1", "--reason", "x", "--store", url)
        assert (code, printed) == (0, f"event 1 of stream order-1 in {NAME} is skipped\n")
        assert await letters_of(views) == 0
        assert (await run("parked", "undo-skip", NAME, "1", "--store", url))[0] == 0
        assert len(await Parked(views.store).letters(NAME)) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("projections", "pause", "sales", "--reason", "x"), 2, "there is no projection named sales; there are: "),
        (("projections", "resume", "sales"), 2, "there is no projection named sales"),
        (("projections", "pause", NAME), 2, "Missing option '--reason'"),
        (("projections", "pause", NAME, "--reason", " "), 2, "say why with --reason"),
        (
            ("projections", "reset", NAME),
            2,
            "a projection is folded by its code, and none is here; name the application",
        ),
        (("parked", "sales"), 2, "there is no projection named sales"),
        (("parked", "show", NAME, "x"), 2, "Invalid value for 'POSITION'"),
        (("parked", "skip", NAME, "1", "--reason", "x"), 1, "event 1 is not parked"),
        (("parked", "retry", NAME), 2, "what is parked is folded by its code, and none is here; name the application"),
        (("retry", NAME), 2, "what is parked is folded by its code, and none is here; name the application"),
    ],
)
async def test_what_cannot_be_is_told_in_a_sentence(
    run: Run, url: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    async with run_views(url):
        ended, printed, complained = await run(*arguments, "--store", url)
    assert (ended, printed) == (code, "")
    assert sentence in " ".join(complained.split())


async def test_a_store_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "typo.db"
    for arguments in (("projections",), ("projections", "--watch"), ("parked",)):
        code, _, complained = await run(*arguments, "--store", f"sqlite:///{missing}")
        assert (code, complained) == (2, f"error: there is no store at {missing}\n")
    assert (await run("projections"))[0] == 2
    assert not await asyncio.to_thread(missing.exists)
