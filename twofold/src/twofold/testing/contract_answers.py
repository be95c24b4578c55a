"""The contract of what is kept beside the log: answers to idempotent requests, and snapshots."""

from __future__ import annotations

import pytest

from twofold.errors import Conflict, EventIdTaken, IdempotencyKeyReused, RequestRefused
from twofold.events import Receipt
from twofold.messages import Idempotency
from twofold.store import Remembered, Snapshot, Store
from twofold.testing.contract_base import HALF, NULS, ContractBase, happened, several, whole

ASKED = Idempotency("key", "this request")
OTHER = Idempotency("key", "another request")


class AnswersContract(ContractBase):
    """Idempotency keys."""

    async def test_the_same_request_is_answered_its_first_receipt(self, store: Store) -> None:
        first = await store.append("order-1", several(2), expected=0, idempotency=ASKED)
        assert not first.repeated
        await store.append("order-1", several(1), expected=2)
        before = await whole(store)
        for expected in (0, 3, 7, None):  # that is decided no more
            again = await store.append("order-1", several(2), expected=expected, idempotency=ASKED)
            assert again == Receipt("order-1", 2, first.position, repeated=True)
        assert await whole(store) == before

    async def test_a_key_serves_one_request_only(self, store: Store) -> None:
        await store.append("order-1", several(1), expected=0, idempotency=ASKED)
        with pytest.raises(IdempotencyKeyReused) as caught:
            await store.append("order-1", several(1), expected=1, idempotency=OTHER)
        assert caught.value.key == "key"
        assert len(await whole(store)) == 1

    async def test_an_answer_can_be_recalled(self, store: Store) -> None:
        assert await store.recall("key") is None
        receipt = await store.append("order-1", several(2), expected=0, idempotency=ASKED)
        assert await store.recall("key") == Remembered(ASKED, receipt, None)
        await store.refuse(Idempotency("other", "request"), b"\0no\xff")
        assert await store.recall("other") == Remembered(Idempotency("other", "request"), None, b"\0no\xff")

    async def test_a_refused_request_is_refused_again(self, store: Store) -> None:
        assert await store.refuse(ASKED, b"no") == Remembered(ASKED, None, b"no")
        with pytest.raises(RequestRefused) as caught:
            await store.append("order-1", several(1), expected=0, idempotency=ASKED)
        assert (caught.value.key, caught.value.refusal) == ("key", b"no")
        with pytest.raises(IdempotencyKeyReused):
            await store.append("order-1", several(1), expected=0, idempotency=OTHER)
        assert await whole(store) == []

    async def test_the_first_answer_stands(self, store: Store) -> None:
        assert await store.refuse(ASKED, b"no") == await store.refuse(ASKED, b"never")
        with pytest.raises(IdempotencyKeyReused):
            await store.refuse(OTHER, b"no")
        accepted = Idempotency("accepted", "request")
        receipt = await store.append("order-1", several(1), expected=0, idempotency=accepted)
        assert await store.refuse(accepted, b"no") == Remembered(accepted, receipt, None)
        assert await store.recall("accepted") == Remembered(accepted, receipt, None)

    async def test_a_refusal_may_be_empty(self, store: Store) -> None:
        await store.refuse(ASKED, b"")
        assert await store.recall("key") == Remembered(ASKED, None, b"")

    async def test_a_key_is_kept_only_with_its_append(self, store: Store) -> None:
        taken = happened()
        await store.append("order-1", [taken], expected=0)
        with pytest.raises(Conflict):
            await store.append("order-1", several(1), expected=0, idempotency=ASKED)
        assert await store.recall("key") is None
        with pytest.raises(EventIdTaken):
            await store.append("order-1", [happened(), taken], expected=1, idempotency=ASKED)
        assert await store.recall("key") is None
        receipt = await store.append("order-1", several(1), expected=1, idempotency=OTHER)
        assert (receipt.version, receipt.repeated) == (2, False)

    async def test_a_request_that_changed_nothing_is_answered_again_too(self, store: Store) -> None:
        first = await store.append("order-1", several(3), expected=0)
        unchanged = await store.append("order-1", [], expected=3, idempotency=ASKED)
        assert unchanged == Receipt("order-1", 3, first.position)
        await store.append("order-1", several(1), expected=3)
        again = await store.append("order-1", several(1), expected=4, idempotency=ASKED)
        assert again == Receipt("order-1", 3, first.position, repeated=True)
        nowhere = await store.append("order-2", [], expected=None, idempotency=Idempotency("new", "request"))
        assert nowhere == Receipt("order-2", 0, 0)
        assert len(await whole(store)) == 4

    async def test_a_request_that_changes_nothing_conflicts_too(self, store: Store) -> None:
        with pytest.raises(Conflict):
            await store.append("order-1", [], expected=1, idempotency=ASKED)
        assert await store.recall("key") is None

    async def test_a_key_that_is_not_utf_8_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="UTF-8"):
            await store.recall(HALF)
        for asked in (Idempotency(HALF, "request"), Idempotency("key", HALF)):
            with pytest.raises(ValueError, match="UTF-8"):
                await store.refuse(asked, b"no")
        assert await store.recall("key") is None

    @pytest.mark.parametrize("nul", NULS)
    async def test_a_key_with_a_nul_is_refused(self, store: Store, nul: str) -> None:
        with pytest.raises(ValueError, match="NUL"):
            await store.recall(nul)
        for asked in (Idempotency(nul, "request"), Idempotency("key", nul)):
            with pytest.raises(ValueError, match="NUL"):
                await store.refuse(asked, b"no")
        assert await store.recall("key") is None

    # --- snapshots --------------------------------------------------------------------------------------------------

    async def test_a_snapshot_comes_back(self, store: Store) -> None:
        assert await store.load_snapshot("order-1") is None
        snapshot = Snapshot(version=3, position=8, schema=2, state=bytes(range(256)))
        await store.save_snapshot("order-1", snapshot)
        assert await store.load_snapshot("order-1") == snapshot
        assert await store.load_snapshot("order-2") is None

    async def test_a_snapshot_of_a_stream_that_is_not_utf_8_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="UTF-8"):
            await store.load_snapshot(HALF)
        with pytest.raises(ValueError, match="UTF-8"):
            await store.save_snapshot(HALF, Snapshot(1, 1, 1, b""))

    @pytest.mark.parametrize("nul", NULS)
    async def test_a_snapshot_of_a_stream_with_a_nul_is_refused(self, store: Store, nul: str) -> None:
        with pytest.raises(ValueError, match="NUL"):
            await store.load_snapshot(nul)
        with pytest.raises(ValueError, match="NUL"):
            await store.save_snapshot(nul, Snapshot(1, 1, 1, b""))

    async def test_the_later_snapshot_is_kept(self, store: Store) -> None:
        for version in (5, 3, 7, 6):
            await store.save_snapshot("order-1", Snapshot(version, version, 1, str(version).encode()))
        assert await store.load_snapshot("order-1") == Snapshot(7, 7, 1, b"7")

    async def test_a_snapshot_may_be_made_anew_under_another_schema(self, store: Store) -> None:
        await store.save_snapshot("order-1", Snapshot(3, 8, 1, b"old"))
        await store.save_snapshot("order-1", Snapshot(3, 8, 2, b"new"))
        assert await store.load_snapshot("order-1") == Snapshot(3, 8, 2, b"new")
