"""The command `twofold`, as a process, on stores of any application."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from twofold import Metadata, NewEvent
from twofold.connect import connect

TWOFOLD = (sys.executable, "-m", "twofold")
# Where the tests run in the background of a shell script they ignore SIGINT, and so would all that they start. This
# gives the signal its default and becomes the command. Not preexec_fn: that may hang where there are threads.
INTERRUPTIBLE = (
    *(sys.executable, "-ISc"),
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)


def command(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a command to its end: its exit code, what it printed, what it complained."""
    done = subprocess.run([*TWOFOLD, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@contextmanager
def started(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """A command that runs meanwhile; it is killed at the end if it still does."""
    with subprocess.Popen(
        [*INTERRUPTIBLE, *TWOFOLD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def append(url: str, stream: str, *contents: bytes) -> None:
    """Append events to the end of a stream."""
    events = [
        NewEvent(id=uuid7(), type="Counted", schema=1, data=content, metadata=Metadata.new(actor="ann"))
        for content in contents
    ]
    async with connect(url) as store:
        await store.append(stream, events, expected=None)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A store with three events in two streams."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await append(url, "counter-a", b'{"amount": 0.10}', b'{"amount": 12345678901234567890.5}')
    await append(url, "counter-b", b"{}")
    return url


def test_the_version_is_printed() -> None:
    assert command("--version") == (0, f"twofold {version('twofold')}\n", "")


@pytest.mark.parametrize("asked", ["--version", "--help"])
def test_who_asks_what_there_is_waits_for_nothing(asked: str) -> None:
    program = f"""
import sys
from twofold.cli import main
sys.argv = ["twofold", "{asked}"]
try:
    main()
finally:
    print(sorted({{"rich", "sqlalchemy", "apsw", "asyncpg", "twofold.connect"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evnts",), "No such command 'evnts'. Did you mean 'events'?"),
        (("parked", "list", "--jsn"), "No such option: --jsn (Possible options: --json)"),
    ],
)
def test_a_slip_is_told_with_what_was_meant(arguments: tuple[str, ...], said: str) -> None:
    code, printed, complained = command(*arguments)
    assert (code, printed) == (2, "")
    assert said in complained


@pytest.mark.parametrize(
    ("words", "expected"),
    [("twofold proj", {"projections"}), ("twofold projections ", {"list", "pause", "resume"})],
)
def test_a_shell_completes_commands(words: str, expected: set[str]) -> None:
    before, _, _ = words.rpartition(" ")
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(before.split())), "_TWOFOLD_COMPLETE": "complete_bash"}
    program = Path(sys.executable).parent / "twofold"
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) >= expected
    assert "--json" not in done.stdout


def test_the_log_is_listed_for_people(url: str) -> None:
    code, printed, _ = command("events", "--store", url)
    assert code == 0
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[0].endswith('counter-a 1  Counted  {"amount": 0.10}')


def test_the_log_is_listed_as_json_with_the_data_as_stored(url: str) -> None:
    code, printed, _ = command("events", "--store", url, "--json")
    assert code == 0
    first, second, third = printed.splitlines()
    assert '"data":{"amount": 0.10}' in first
    assert '"data":{"amount": 12345678901234567890.5}' in second
    event = json.loads(third)
    assert (event["position"], event["stream"], event["version"], event["type"]) == (3, "counter-b", 1, "Counted")
    assert (event["schema"], event["data"], event["actor"]) == (1, {}, "ann")


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        (("--stream", "counter-a"), [1, 2]),
        (("--stream", "counter-a", "--after", "1"), [2]),
        (("--after", "1"), [2, 3]),
        (("--after", "3"), []),
        (("--limit", "2"), [1, 2]),
        (("--after", "1", "--limit", "1", "--follow"), [2]),
    ],
)
def test_a_part_of_the_log_is_listed(url: str, arguments: tuple[str, ...], positions: list[int]) -> None:
    code, printed, _ = command("events", "--store", url, "--json", *arguments)
    assert code == 0
    assert [json.loads(line)["position"] for line in printed.splitlines()] == positions


async def test_follow_goes_on_until_it_is_interrupted(url: str) -> None:
    with started("events", "--store", url, "--after", "3", "--follow") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await append(url, "counter-b", b'{"more": true}')
        assert process.stdout.readline().endswith('counter-b 2  Counted  {"more": true}\n')
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""


def test_a_reader_that_leaves_is_no_error(url: str) -> None:
    with started("events", "--store", url, "--follow") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        assert "Traceback" not in process.stderr.read()


def test_what_is_not_there_is_told_in_a_sentence_and_not_made(url: str, tmp_path: Path) -> None:
    code, _, complained = command("events", "--store", url, "--stream", "counter-c")
    assert (code, complained) == (1, f"error: there is no stream counter-c in {url}\n")
    code, _, complained = command("events", "--store", "sqlite:///typo.db", cwd=tmp_path)
    assert (code, complained) == (2, "error: there is no store at typo.db\n")
    assert not (tmp_path / "typo.db").exists()
    code, _, complained = command("events", "--store", "nats:")
    assert code == 2
    assert "no store has the URL 'nats:'" in complained
