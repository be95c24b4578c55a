"""An import at a terminal: the file is opened, a bar shows how far it has come, a summary says what came of it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from orders.destinations import destination_at
from orders.importing import ImportStopped, Summary, import_orders
from twofold.cli.printing import show
from twofold.cli.progress import progress_bar
from twofold.cli.terminal import print_json, printable
from twofold.errors import StoreRefused

SHOWN = 20  # refusals that are printed for a person; more say nothing new
UNFINISHED = "The import is not finished. Run the same command again: what is there already is not imported twice."


def import_file(file: Path, to: str, *, currency: str, in_flight: int, batch: str, json: bool) -> bool:
    """Import the orders of a file and print the summary; whether nothing was refused. `-` is standard input.

    Raises BadParameter, SettingRefused, StoreRefused, ImportStopped.
    """
    if to == "memory:":
        raise StoreRefused("memory: would forget the orders as soon as the import ends; name a store that keeps them")
    summary = Summary()

    async def work(lines: BinaryIO, total: int) -> None:
        with progress_bar("Importing") as report:

            def on_line(done: int) -> None:
                report(done, total)

            async with destination_at(to, currency=currency, in_flight=in_flight) as destination:
                await import_orders(lines, destination, summary, batch=batch, in_flight=in_flight, on_line=on_line)

    with _opened(file) as lines:
        total = sum(1 for _ in lines)
        lines.seek(0)
        try:
            asyncio.run(work(lines, total))
        except (ImportStopped, KeyboardInterrupt):
            _print(summary, json=json)
            Console(stderr=True).print(UNFINISHED, soft_wrap=True)
            raise
    _print(summary, json=json)
    return not summary.refused


@contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    """The file, from its beginning. A pipe is taken in first: to wait for each of its lines would block the loop."""
    with _source(file) as source:
        if source.seekable():
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            yield copy


def _source(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from error


def _print(summary: Summary, *, json: bool) -> None:
    if json:
        print_json(msgspec.json.encode(summary))
        return

    def count(number: int, text: str, style: str = "bold") -> None:
        show(Text.assemble((f"{number:>7}", style), f" {text}"))

    count(summary.created, f"orders created, {summary.already_there} were there already")
    count(summary.delivered, f"orders walked to delivered, {summary.already_delivered} were delivered already")
    count(len(summary.refused), "refused", "bold red" if summary.refused else "bold")
    for refusal in summary.refused[:SHOWN]:
        which = f"line {refusal.line}" + (f", order {refusal.order_id}" if refusal.order_id else "")
        told = "; ".join(refusal.sentences)
        show(Text.assemble("        ", (which, "red"), f": {printable(told)}"))
    if len(summary.refused) > SHOWN:
        show(Text(f"        and {len(summary.refused) - SHOWN} more; --json prints them all"))
