"""`twofold top`, driven as a person would drive it, on a screen that only the test sees."""

from __future__ import annotations

import re

from twofold import Store
from twofold.cli.top import Top
from twofold.sql import Run, Work
from twofold.testing.contract_base import several
from twofold.views import Views


def detached() -> Work[None]:
    yield Run(
        "insert into subscription (name, partitions, paused, resumed, built) values ('sales_v1', 1, 'by ann', 0, 1)"
    )
    yield Run(
        "insert into subscription_partition (name, partition, position, epoch, beat, owner, failure, seen_at) "
        "values ('sales_v1', 0, 1, 1, 1, null, null, 0)"
    )


def screen(top: Top) -> str:
    """The words on the screen, in their order."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", top.export_screenshot())
    return " ".join(" ".join(texts).replace("&#160;", " ").split())


async def test_the_screen_follows_the_store(store: Store) -> None:
    await store.append("order-1", several(2), expected=None)
    await store.work(detached)
    top = Top(Views(store), name="the store")
    async with top.run_test(size=(160, 40)) as pilot:
        assert "the store head 2 appended - most behind 1 parked 0" in screen(top)
        assert "sales_v1" in screen(top)
        assert "by ann" in screen(top)
        await store.append("order-2", several(3), expected=None)
        await top.look_again()
        await pilot.pause()
        assert "head 5 appended " in screen(top)
        assert "order-2" in screen(top)
        await pilot.press("p")
        await store.append("order-3", several(1), expected=None)
        await top.look_again()
        assert "order-3" not in screen(top)
        await pilot.press("p")
        await top.look_again()
        await pilot.pause()
        assert "order-3" in screen(top)
        await pilot.press("q")
    assert not top.is_running
