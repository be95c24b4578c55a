"""How commands look: in a pipe, at a narrow terminal, in their help, and where they cannot print or were mistyped."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from test_cli_twofold import TWOFOLD, command
from twofold.cli import app
from twofold.cli.printing import counted, show, table
from twofold.connect import connect
from twofold.errors import StoreRefused

LONG = "order-01a21793-9b03-723f-a61a-6ec6eb1d0d86"
VALUES = (LONG, "OrderStatusUpdated", "2026-11-26T11:17:59", "1234567890")


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A store without events."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url):
        return url


def show_rows() -> None:
    """Print a table whose cells are as wide as they come."""
    made = table("Stream", "Last event", "Recorded", "Position", right=("Position",))
    made.add_row(*VALUES)
    made.add_row("short", "e", "t", "1")
    show(made)


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show_rows()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == " ".join(VALUES).split()
    assert len(lines) == 3
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("columns", [30, 60, 80])
def test_a_narrow_terminal_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Cells are folded: put together again, column by column, they are what they were."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    show_rows()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(len(line) for line in plain.splitlines()) <= columns
    first = plain.splitlines()
    columns_at = [match.span() for match in re.finditer(r"x+", _ruled(first))]
    folded = ["".join(line[start:end].strip() for line in first) for start, end in columns_at]
    for value in VALUES:
        assert any(value in cell for cell in folded), folded


def _ruled(lines: list[str]) -> str:
    """A line with a mark wherever any line has one, so that columns are told by what is blank in all."""
    width = max(len(line) for line in lines)
    return "".join("x" if any(line[at : at + 1].strip() for line in lines) else " " for at in range(width))


def help_texts(group: TyperGroup, name: str) -> dict[str, str]:
    """The lines of the lists of commands, with the name of each."""
    longest = max(len(each) for each in group.commands)
    texts: dict[str, str] = {}
    for each, subcommand in group.commands.items():
        texts[f"{name} {each}"] = subcommand.get_short_help_str(80 - 2 - 6 - longest)
        if isinstance(subcommand, TyperGroup):
            texts |= help_texts(subcommand, f"{name} {each}")
    return texts


def test_a_list_of_commands_has_whole_sentences_at_80_columns() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    texts = help_texts(group, "twofold")
    assert len(texts) > 30
    assert {name: text for name, text in texts.items() if not text or text.endswith("...")} == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("asked", ["--help", "streams"])
def test_a_full_disk_is_told_in_a_sentence(url: str, asked: str) -> None:
    environment = {**os.environ, "TWOFOLD_STORE": url}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*TWOFOLD, asked], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    assert done.returncode == 1
    assert done.stderr == f"error: what is printed cannot be written: {os.strerror(errno.ENOSPC)}\n"


def test_a_command_that_is_mistyped_is_told_with_the_one_that_was_meant() -> None:
    code, _, complained = command("projections", "puase", "sales")
    assert code == 2
    assert "No such command 'puase'. Did you mean 'pause'?" in complained


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("ann", "--role", "chief"), "a role is one of see, payloads, operate, not chief"),
        (("ann lee",), "a name has 1 to 100 letters, digits and any of . @ + - _"),
    ],
)
def test_who_may_not_log_in_is_not_asked_for_a_password(asked: tuple[str, ...], why: str) -> None:
    _, printed, complained = command("console", "hash-password", *asked)
    assert (printed, complained) == ("", f"error: {why}\n")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("orders.db", "; for a file it is sqlite:///orders.db"),
        ("sqlite://orders.db", "; for a file it is sqlite:///orders.db"),
        ("sqlite:orders.db", "; for a file it is sqlite:///orders.db"),
        ("mysql://host/orders", ""),
        ("", ""),
    ],
)
async def test_a_url_that_means_nothing_is_told_with_the_one_for_a_file(url: str, meant: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        async with connect(url):
            pass
    assert str(refused.value).partition("/database")[2] == meant


def test_one_is_no_plural() -> None:
    assert [counted(number, "event") for number in (0, 1, 2)] == ["0 events", "1 event", "2 events"]
