"""How all stands, at a glance: whether the store is well, how far the log is, what lags, what is parked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from twofold.errors import TwofoldError
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.streams import position_at
from twofold.overview import State, overview
from twofold.sequences import outlined
from twofold.views import identity

HOUR = timedelta(hours=1)


class Standing(Struct, frozen=True, kw_only=True, rename="camel"):
    """How a projection stands; see `twofold.overview.Status`."""

    name: str
    view: str
    state: State
    inline: bool
    position: int
    behind: int
    seconds: float
    letters: int
    sequences: int
    owners: Sequence[str]
    reason: str | None


class Overview(Struct, frozen=True, kw_only=True, rename="camel"):
    """How all stands. `trouble` says why the store cannot be written; `lastHour` counts positions, and so events.

    `projections` has the one that is furthest behind first.
    """

    application: str
    store: str
    head: int
    trouble: str | None
    last_hour: int
    letters: int
    projections: Sequence[Standing]


async def standing(inspection: Inspection) -> Overview:
    """How all stands now."""
    store, views = inspection.store, inspection.views
    trouble: str | None = None
    try:
        await store.check()
    except TwofoldError as error:
        trouble = str(error) if inspection.personal else outlined(error)
    names = {identity(view): view.name for view in views.all.values()} if views is not None else {}
    projections = [
        Standing(
            name=status.name,
            view=names.get(status.name, status.name),
            state=status.state,
            inline=status.inline,
            position=status.position,
            behind=status.behind,
            seconds=status.seconds,
            letters=status.letters,
            sequences=status.sequences,
            owners=status.owners,
            reason=status.reason,
        )
        for status in await overview(store, views, personal=inspection.personal)
    ]
    head = await store.head()
    return Overview(
        application=inspection.model.name if inspection.model is not None else "",
        store=store.dialect,
        head=head,
        trouble=trouble,
        last_hour=head - await position_at(store, datetime.now(UTC) - HOUR),
        letters=sum(each.letters for each in projections),
        projections=sorted(projections, key=lambda each: -each.behind),
    )
