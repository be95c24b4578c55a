"""The store contract: what makes a store a store, as a suite of tests that its author runs.

Every promise that `twofold.store` writes down is checked here. Derive a test class and say how the store is opened:

    class TestSqliteStore(StoreContract):
        def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
            return SqliteStore(place / "store.db")

pytest then finds all the checks. They need pytest and pytest-asyncio, in either of its modes. With

    pytest.register_assert_rewrite("twofold.testing")

in conftest.py, a failed check shows the values that it compared.

The concurrent checks find a broken store every time, not by luck: their schedules lead each known fault into the open.
Twofold shows that by breaking its own stores on purpose, see `test_contract_finds_faults.py` among its tests.
"""

from twofold.testing.contract_adoption import AdoptionContract
from twofold.testing.contract_answers import AnswersContract
from twofold.testing.contract_concurrency import ConcurrencyContract
from twofold.testing.contract_log import LogContract
from twofold.testing.contract_looking_back import LookingBackContract
from twofold.testing.contract_openings import OpeningsContract
from twofold.testing.contract_reading import ReadingContract
from twofold.testing.contract_views import ViewsContract
from twofold.testing.contract_work import WorkContract

__all__ = ["StoreContract"]


class StoreContract(
    LogContract,
    ReadingContract,
    LookingBackContract,
    AnswersContract,
    AdoptionContract,
    ViewsContract,
    WorkContract,
    ConcurrencyContract,
    OpeningsContract,
):
    """All checks. Set `durable` or `shared` to False for a store that is not; say `open`."""
