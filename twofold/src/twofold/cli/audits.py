"""What operators did, at a terminal: who, when, why, and what came of it."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from twofold.auditing import Action, Actions, actions
from twofold.cli.printing import print_answer, said, show, table, when
from twofold.connect import connect


async def list_actions(url: str, *, before: int | None, limit: int, json: bool) -> None:
    """Print what operators did, the last action first. Raises StoreRefused."""
    async with connect(url, create=False) as store:
        found = await actions(store, before=before, limit=limit)
    if json:
        print_answer(found)
    else:
        show(*_listed(found))


def _listed(found: Actions) -> list[RenderableType]:
    if not found.actions and found.before is None:
        return [Text("Nobody has changed anything yet")]
    rows = table("When", "Who", "By", "What", "Of", "Why", "What came of it")
    for action in found.actions:
        who, way = said(action.who or "-"), said(action.way or "-")
        rows.add_row(
            when(action.at), who, way, said(action.what, "bold"), _of(action), said(action.reason or ""), _end(action)
        )
    if found.before is None:
        return [rows]
    return [rows, Text(f"There are earlier ones: --before {found.before}", "dim")]


def _of(action: Action) -> Text:
    """The projection, the sequence and the event that it was about."""
    of = [each for each in (action.projection, action.sequence) if each is not None]
    if action.position is not None:
        of.append(f"event {action.position}")
    return said(" ".join(of), "cyan")


def _end(action: Action) -> Text:
    if action.trouble is not None:
        return said(action.trouble, "red")
    if action.ended is None:
        return said("going on, or broken off", "yellow")
    if action.failed:
        return said(f"failed: {action.outcome}", "red")
    return said(f"done: {action.outcome}" if action.outcome else "done")
