"""A log copied from store to store, as it looks at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.text import Text

from twofold.cli.printing import counted, show
from twofold.cli.progress import progress_bar, through_log
from twofold.cli.terminal import print_json, printable
from twofold.connect import connect
from twofold.copying import Copied, Difference, compare, copy
from twofold.events import Recorded


async def copy_log(source_url: str, target_url: str, *, json: bool) -> bool:
    """Copy, compare, and print what came of it; whether the logs are the same. Raises StoreRefused, CopyRefused."""
    async with connect(source_url, create=False) as source, connect(target_url) as target:
        with progress_bar("Copying") as report:
            copied = await copy(source, target, through_log(report))
        with progress_bar("Comparing") as report:
            same, difference = await compare(source, target, until=copied.position, on_progress=through_log(report))
        head = await source.head()
    if json:
        _print_json(copied, same, difference, head)
    else:
        _print(copied, same, difference, head)
    return difference is None


def _print_json(copied: Copied, same: int, difference: Difference | None, head: int) -> None:
    """One line for the outcome."""
    outcome: dict[str, Any] = {"copied": copied.events, "position": copied.position, "head": head, "same": same}
    if difference is not None:
        outcome["difference"] = {"position": difference.position, "fields": difference.fields}
    print_json(msgspec.json.encode(outcome))


def _print(copied: Copied, same: int, difference: Difference | None, head: int) -> None:
    show(Text(f"{counted(copied.events, 'event')} copied, up to position {copied.position}"))
    if difference is None:
        show(Text.assemble(("No difference", "green"), f" ({counted(same, 'event')})"))
    else:
        show(
            Text.assemble(("The logs differ", "red"), f" at position {difference.position}"),
            Text(f"  from: {_text(difference.source, difference.fields)}"),
            Text(f"  to:   {_text(difference.target, difference.fields)}"),
        )
    if head > copied.position:
        show(Text(f"The log has grown meanwhile, up to position {head}: stop its writers and copy again"))


def _text(event: Recorded[bytes] | None, fields: Sequence[str]) -> str:
    if event is None:
        return "no event"
    values = "".join(f", {name} {getattr(event, name)!r}" for name in fields)
    return printable(f"version {event.version} of {event.stream} ({event.type}){values}")
