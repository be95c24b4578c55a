"""`twofold doctor`: how a store is, in a table or as JSON, with advice where something is not as it should be."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata

from rich.console import RenderableType
from rich.text import Text

from twofold.cli.applications import Program
from twofold.cli.diagnosis import Finding, Level, findings, integrity
from twofold.cli.printing import print_answer, said, show, table
from twofold.cli.progress import progress_bar, through_log
from twofold.connect import file_of
from twofold.errors import TwofoldError

_COLOURS = {Level.FINE: "green", Level.NOTE: "yellow", Level.WRONG: "bold red"}
_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@/\s]*@|\b(password=)[^&\s]*")


async def examine(program: Program, url: str, *, check: bool, json: bool) -> bool:
    """Print how the store is; whether nothing is wrong. With `check` all of it is read. Never raises TwofoldError."""
    found = list(surroundings())
    try:
        async with program.opening(url) as views:
            found += [finding async for finding in findings(views, file_of(url))]
            if check:
                with progress_bar("Reading all events") as report:
                    checked = integrity(views.store, file_of(url), through_log(report))
                    found += [finding async for finding in checked]
    except TwofoldError as error:
        found.append(Finding("store", Level.WRONG, without_password(str(error)), "mend that first, and ask again"))
    if json:
        for finding in found:
            print_answer(finding)
    else:
        show(*_table(found))
    return all(finding.level is not Level.WRONG for finding in found)


def surroundings() -> Sequence[Finding]:
    """What commands run with, and what was set in the environment, without passwords."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    variables = sorted((name, value) for name, value in os.environ.items() if name.startswith("TWOFOLD_"))
    settings = " ".join(f"{name}={without_password(value)}" for name, value in variables) or "none in the environment"
    return (
        Finding("program", Level.FINE, f"twofold {metadata.version('twofold')}, Python {python}"),
        Finding("settings", Level.FINE, settings),
    )


def without_password(text: str) -> str:
    """A text with a URL in it, perhaps, as others may see it."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", text)


def _table(found: Sequence[Finding]) -> list[RenderableType]:
    rows = table("Checked", "", "Found")
    for finding in found:
        rows.add_row(said(finding.check), Text(finding.level, _COLOURS[finding.level]), said(finding.found))
        if finding.advice is not None:
            rows.add_row("", "", said(f"→ {finding.advice}", "yellow"))
    wrong = sum(finding.level is Level.WRONG for finding in found)
    outcome = Text("Nothing is wrong", "green") if not wrong else Text(f"Wrong: {wrong}", "bold red")
    return [rows, outcome]
