"""Views built anew from the log, beside those in use, and swapped in while queries go on.

A build folds the log into tables and a checkpoint of its own. It rests between its pages so that live traffic goes on,
is continued where it stopped if its process was killed, and can be compared with what is in use (`twofold.verify`).
A promotion swaps it in at one position, in one transaction: nobody ever reads a half-built view. What was in use is
kept until it is dropped.
"""

from __future__ import annotations

import asyncio
from functools import partial

from twofold.building import OLD, Build, OnProgress, insist
from twofold.errors import BuildMissing
from twofold.store import Progress
from twofold.subscription import LEASE_SECONDS
from twofold.views import BUILD, Views, identity


async def build(views: Views, name: str, on_progress: OnProgress, *, anew: bool = False) -> Progress:
    """Build a view beside the one in use until it has reached the head of the log.

    An unfinished build is continued; begin `anew` where the code that made it has changed. After each page it rests as
    long as the page took, and that of an inline view, for which appends wait, four times as long; it takes larger pages
    where the log grows as fast all the same.

    Raises ProjectionUnknown, RebuildOvertaken if the build was promoted or removed meanwhile; of an inline view,
    ProjectionFailed for an event that it cannot fold. A subscribed one parks it, as it would in use.
    """
    building = Build(views, views.view(name))
    await building.begin(anew=anew)
    return await building.run(on_progress)


async def promote(views: Views, name: str, on_progress: OnProgress) -> Progress:
    """Swap the build of a view in, at one position. What was in use is kept beside until `drop`.

    Raises ProjectionUnknown, BuildMissing, RebuildOvertaken if another promotion of the same build was first, and
    StoreBusy where the tables are read all the time by statements that take long.
    """
    building = Build(views, views.view(name))
    if not await building.exists():
        raise BuildMissing(name)
    await building.run(on_progress, pace=0.0)
    return await building.promote(on_progress)


async def rebuild(views: Views, name: str, on_progress: OnProgress, *, resume: bool = False) -> Progress:
    """Build a view anew, swap it in, and drop what was in use. With `resume` an unfinished build is continued.

    Raises what `build` and `promote` raise.
    """
    building = Build(views, views.view(name))
    await building.begin(anew=not resume)
    await building.run(on_progress)
    progress = await building.promote(on_progress)
    await insist(lambda: views.store.work(partial(building.old.drop, building.names)))
    return progress


async def drop(views: Views, name: str) -> list[str]:
    """Remove what a view has left behind: the tables of before the last promotion, and those of older versions.

    Answers the names of what was removed. Raises ProjectionUnknown, and ProjectionInUse if a process still runs an
    older version: where one is known, it is watched for a lease to see whether it lives. Of inline views no store
    knows that: see to it that no older process is left.
    """
    view = views.view(name)
    building = Build(views, view)
    older = [f"{view.name}_v{version}{ending}" for version in range(1, view.version) for ending in ("", BUILD, OLD)]
    seen = {key: await views.store.work(partial(building.beats, key)) for key in older}
    if any(seen.values()):
        await asyncio.sleep(LEASE_SECONDS)
    dropped: list[str] = []
    for key in (*older, identity(view) + OLD):
        if await building.is_there(key):
            removed = partial(building.removed, key, seen.get(key, {}))
            await insist(partial(views.store.replace_checkpoint, key, removed))
            dropped.append(key)
    return dropped


async def abandon(views: Views, name: str) -> bool:
    """Remove the unfinished build of a view; whether there was one. Raises ProjectionUnknown."""
    building = Build(views, views.view(name))
    if not await building.exists():
        return False
    removed = partial(building.removed, building.key, None)
    await insist(lambda: views.store.replace_checkpoint(building.key, removed))
    return True
