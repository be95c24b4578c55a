"""Claims: given to one, refused to who has lost them, and what a beat tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from twofold import Store
from twofold.claims import Claim, Claims, Held
from twofold.sequences import ClaimLost, Paused

NAME = "view_v1"


@pytest.fixture
async def claims(store: Store) -> Claims:
    """Those of a store in which a subscription of two parts is known."""
    found = Claims(store.dialect)
    assert await store.work(lambda: found.register(NAME, 2, 7)) == 2
    return found


async def parts(store: Store, claims: Claims) -> list[Held]:
    return await store.work(lambda: claims.parts(NAME))


async def taken(store: Store, claims: Claims, owner: str) -> Claim:
    held = (await parts(store, claims))[0]
    claim = await store.work(lambda: claims.take(held, owner))
    assert claim is not None
    return claim


async def test_to_register_again_changes_nothing(store: Store, claims: Claims) -> None:
    assert await store.work(lambda: claims.register(NAME, 5, 9)) == 2
    assert [held.position for held in await parts(store, claims)] == [7, 7]
    assert await store.rows(claims.names()) == [(NAME,)]


async def test_a_claim_is_given_to_one_only(store: Store, claims: Claims) -> None:
    held = (await parts(store, claims))[0]
    found = await asyncio.gather(*(store.work(partial(claims.take, held, f"owner {n}")) for n in range(5)))
    assert Counter(claim is None for claim in found) == {True: 4, False: 1}
    assert await store.work(lambda: claims.take(held._replace(partition=9), "nobody")) is None


async def test_an_epoch_that_was_passed_may_do_nothing(store: Store, claims: Claims) -> None:
    old = await taken(store, claims, "one")
    new = await taken(store, claims, "two")
    assert await store.work(lambda: claims.lock(new)) == 7
    for claim in (old, new._replace(partition=9)):
        with pytest.raises(ClaimLost):
            await store.work(partial(claims.lock, claim))
    assert await store.work(lambda: claims.release(old, "it is not mine")) is None
    held = (await parts(store, claims))[0]
    assert (held.owner, held.failure, held.epoch) == ("two", None, new.epoch)
    assert await store.work(lambda: claims.release(new, "a reason")) == 7
    held = (await parts(store, claims))[0]
    assert (held.owner, held.failure) == (None, "a reason")
    assert (await taken(store, claims, "three")).epoch == new.epoch + 1
    assert (await parts(store, claims))[0].failure is None


async def test_a_beat_raises_that_of_the_owner_and_of_nobody_else(store: Store, claims: Claims) -> None:
    await taken(store, claims, "one")
    before = await parts(store, claims)
    for number in (1, 2):
        beat = await store.work(lambda: claims.beat(NAME, "one"))
        assert beat is not None
        assert (beat.paused, beat.resumed, beat.members) == (False, 0, [("one", number)])
        assert [held.beat for held in beat.parts] == [before[0].beat + number, before[1].beat]
    beat = await store.work(lambda: claims.beat(NAME, "a zombie"))
    assert beat is not None
    assert [held.beat for held in beat.parts] == [before[0].beat + 2, before[1].beat]
    await store.work(lambda: claims.dismiss(NAME, "a zombie", 9))  # it has moved since
    assert len(await store.work(lambda: claims.members(NAME))) == 2
    await store.work(lambda: claims.dismiss(NAME, "a zombie", 1))
    beat = await store.work(lambda: claims.beat(NAME, "one", member=False))
    assert beat is not None
    assert beat.members == []
    assert beat.parts[0].owner == "one"


async def test_what_is_not_known_has_no_beat_and_no_members(store: Store, claims: Claims) -> None:
    assert await store.work(lambda: claims.beat("other", "one")) is None
    assert await store.work(lambda: claims.members("other")) == []
    await store.work(lambda: claims.forget(NAME))
    assert await store.work(lambda: claims.beat(NAME, "one")) is None
    assert await parts(store, claims) == []


async def test_who_closes_gives_up_all_that_it_has(store: Store, claims: Claims) -> None:
    await taken(store, claims, "one")
    await store.work(lambda: claims.beat(NAME, "one"))
    await store.work(lambda: claims.close(NAME, "two"))
    assert (await parts(store, claims))[0].owner == "one"
    await store.work(lambda: claims.close(NAME, "one"))
    assert (await parts(store, claims))[0].owner is None
    assert await store.work(lambda: claims.members(NAME)) == []


async def test_nobody_may_write_while_it_is_paused(store: Store, claims: Claims) -> None:
    claim = await taken(store, claims, "one")
    assert await store.work(lambda: claims.pause(NAME, "why"))
    with pytest.raises(Paused):
        await store.work(lambda: claims.lock(claim))
    beat = await store.work(lambda: claims.beat(NAME, "one"))
    assert beat is not None
    assert (beat.paused, beat.resumed) == (True, 0)
    assert await store.work(lambda: claims.resume(NAME))
    assert await store.work(lambda: claims.lock(claim)) == 7
    beat = await store.work(lambda: claims.beat(NAME, "one"))
    assert beat is not None
    assert (beat.paused, beat.resumed) == (False, 1)


async def test_to_set_a_subscription_back_takes_all_claims(store: Store, claims: Claims) -> None:
    claim = await taken(store, claims, "one")
    await store.work(lambda: claims.set_to(NAME, 3))
    with pytest.raises(ClaimLost):
        await store.work(lambda: claims.lock(claim))
    assert [(held.position, held.owner) for held in await parts(store, claims)] == [(3, None), (3, None)]
