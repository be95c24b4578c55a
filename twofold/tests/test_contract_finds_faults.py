"""The store contract finds a broken store every time: each fault by the check named here, five times in a row."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import broken_adoption as adoption
import broken_looking_back as back
import broken_reading as reading
import broken_stores as log
import broken_views as views
from twofold.store import Store
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore
from twofold.stores.sqlite import store as sqlite_store
from twofold.stores.sqlite.writer import Writer
from twofold.testing.contract import StoreContract

TIMES = 5

Open = Callable[[Path], AbstractAsyncContextManager[Store]]

IN_MEMORY = [
    (log.NoVersionCheck, "a_conflict_says_what_is_there_and_stores_nothing"),
    (log.NoLock, "one_of_many_appends_at_the_same_version_wins"),
    (log.ConflictAfterStoring, "a_conflict_says_what_is_there_and_stores_nothing"),
    (log.ConflictTellsTheExpected, "a_conflict_says_what_is_there_and_stores_nothing"),
    (log.OneByOne, "ids_of_another_append_are_refused"),
    (log.OneByOne, "who_looks_at_every_turn_never_sees_a_position_late_or_an_append_by_half"),
    (log.OneByOne, "a_cancelled_append_is_stored_whole_or_not_at_all_and_harms_no_other"),
    (log.ForgetsIds, "a_repeated_append_answers_the_first_receipt"),
    (log.LooksForIdsTooEarly, "the_same_append_many_times_at_once_is_stored_once"),
    (log.RepeatsTheLastReceipt, "a_repeated_append_answers_the_first_receipt"),
    (log.RepeatsInSilence, "a_repeated_append_answers_the_first_receipt"),
    (log.StandsAndFallsTogether, "only_the_append_that_failed_fails"),
    (log.ForgetsKeys, "the_same_request_is_answered_its_first_receipt"),
    (log.KeepsTheKeyFirst, "a_key_is_kept_only_with_its_append"),
    (log.KeepsTheKeyFirst, "an_append_fails_with_its_fold_and_leaves_nothing"),
    (log.LooksForTheKeyTooEarly, "one_request_many_times_at_once_has_one_effect_and_one_answer"),
    (log.IgnoresTheFingerprint, "a_key_serves_one_request_only"),
    (log.RefusesAnew, "the_first_answer_stands"),
    (log.RefusesAnew, "a_request_is_accepted_or_refused_and_never_both"),
    (reading.OutOfOrder, "versions_have_no_hole_and_positions_rise"),
    (reading.OutOfOrder, "who_follows_the_log_sees_every_position_once_and_in_order"),
    (reading.StreamOutOfOrder, "a_stream_is_read_from_after_until"),
    (reading.LosesTheTail, "who_follows_the_log_sees_every_position_once_and_in_order"),
    (reading.LosesAtThePage, "a_long_log_is_read_whole"),
    (reading.PagesOverlap, "pages_hold_what_is_read_event_by_event"),
    (reading.EmptyPageAtTheEnd, "pages_hold_what_is_read_event_by_event"),
    (reading.FirstAgain, "the_log_is_read_from_after_up_to_a_limit"),
    (reading.FirstAgain, "who_follows_the_log_sees_every_position_once_and_in_order"),
    (reading.CountsFromTheEnd, "no_bound_is_too_low_or_too_high"),
    (reading.FindsByName, "an_event_is_found_by_its_id"),
    (reading.FindsWhatWasRefused, "an_event_is_found_by_its_id"),
    (reading.AnotherIdEachTime, "a_log_has_an_id_that_stays"),
    (reading.OneIdForAll, "two_logs_have_two_ids"),
    (reading.VisibleLate, "who_follows_the_log_sees_every_position_once_and_in_order"),
    (reading.VisibleLate, "who_looks_at_every_turn_never_sees_a_position_late_or_an_append_by_half"),
    (back.ListsEveryEvent, "streams_come_with_the_newest_activity_first"),
    (back.OldestFirst, "streams_come_with_the_newest_activity_first"),
    (back.TakesAPrefix, "streams_of_one_category_are_told_from_others"),
    (back.GivesUp, "streams_are_found_behind_many_events_of_others"),
    (back.RepeatsTheCursor, "streams_come_page_by_page"),
    (back.BackwardsFrom, "the_log_is_read_from_its_end"),
    (back.BackOnePage, "a_long_log_is_read_whole_from_its_end"),
    (back.KnowsOnlyIds, "all_events_of_a_correlation_are_found_in_order"),
    (back.CorrelatedByStream, "all_events_of_a_correlation_are_found_in_order"),
    (back.TrustsTheFirstHalf, "what_a_message_led_to_is_found_and_nothing_else_of_its_correlation"),
    (back.TakesTheWholeCorrelation, "what_a_message_led_to_is_found_and_nothing_else_of_its_correlation"),
    (views.MissesTheWakeUp, "an_append_at_any_moment_wakes_all_who_wait"),
    (views.WakesForNothing, "who_waits_goes_on_waiting_until_the_position_is_there"),
    (views.WakesOnlyOne, "an_append_at_any_moment_wakes_all_who_wait"),
    (views.SharesOneSleep, "waiting_can_be_cancelled"),
    (views.OpenWhenClosed, "a_closed_store_says_so"),
    (views.CutsAtNul, "a_name_with_a_nul_is_refused"),
    (views.ReplacesHalves, "a_text_that_is_not_utf_8_is_refused"),
    (views.IgnoresCase, "hostile_strings_come_back_exactly"),
    (views.DropsMicroseconds, "events_come_back_as_they_were_given"),
    (views.KeepsAnySnapshot, "the_later_snapshot_is_kept"),
    (views.BeginsWithoutACheckpoint, "a_fold_without_a_checkpoint_fails_the_append"),
    (views.FoldsAfterTheAppend, "an_append_fails_with_its_fold_and_leaves_nothing"),
    (views.FoldsOnlyTheNew, "a_fold_is_given_what_it_missed"),
    (views.FoldsApart, "a_fold_that_succeeded_is_undone_with_one_that_failed"),
    (views.HidesTheFold, "an_append_fails_with_its_fold_and_leaves_nothing"),
    (views.AdvancesTwice, "each_event_is_folded_once_in_order_under_many_appends"),
    (views.IgnoresTheLimit, "a_fold_advances_step_by_step"),
    (views.ResetsTheOldToo, "a_reset_of_only_the_new_leaves_what_is_there"),
    (views.ResetsBeforeTheWork, "a_reset_that_fails_leaves_all_as_it_was"),
    (views.ReplacesInSteps, "each_replaces_the_checkpoint_that_another_left"),
    (views.PromotesWithoutTheRest, "a_promotion_folds_the_rest_and_hands_the_checkpoint_over"),
    (views.WorksInSteps, "work_that_fails_leaves_nothing"),
    (views.FailsWithAStatement, "a_wrong_statement_fails_alone"),
    (views.WorksMix, "works_do_not_mix"),
    (views.MovingMoment, "a_moment_does_not_move"),
    (views.LateMoment, "a_moment_does_not_move"),
    (adoption.GivesNewPositions, "adopted_events_are_there_as_they_were"),
    (adoption.GivesNewTimes, "adopted_events_are_there_as_they_were"),
    (adoption.OneByOne, "what_does_not_fit_is_refused_with_all_that_came_along"),
    (adoption.OneByOne, "an_id_that_is_taken_is_refused_with_all_that_came_along"),
    (adoption.TakesAnything, "what_does_not_fit_is_refused_with_all_that_came_along"),
    (adoption.TakesAnyPosition, "what_does_not_fit_is_refused_with_all_that_came_along"),
    (adoption.TakesAnyName, "names_that_no_store_could_keep_are_refused"),
    (adoption.CountsItsEvents, "appends_go_on_behind_what_was_adopted"),
    (adoption.PagesByPosition, "bounds_count_events_and_not_positions"),
    (adoption.ForgetsAnswers, "the_same_request_is_answered_as_it_was_there"),
    (adoption.AnswersByThePage, "the_same_request_is_answered_as_it_was_there"),
    (adoption.TheLastAnswerStands, "the_first_answer_to_a_key_stands"),
    (adoption.TheLastAnswerStands, "an_answer_that_was_given_here_stands"),
    (adoption.WakesNobody, "who_waits_for_an_append_is_woken_by_an_adoption"),
    (views.FoldsOnlyTheNew, "an_inline_view_misses_nothing_of_an_adoption_among_appends"),
    (adoption.MarksAsFolded, "an_inline_view_is_given_what_was_adopted_with_the_next_append"),
]


@pytest.mark.parametrize(("broken", "check"), IN_MEMORY)
async def test_a_broken_store_in_memory_is_found(broken: type[MemoryStore], check: str, tmp_path: Path) -> None:
    await found(lambda place: broken(), check, tmp_path)


async def test_positions_that_are_reserved_are_found(tmp_path: Path) -> None:
    logs: dict[Path, reading.SharedLog] = {}
    await found(
        lambda place: reading.ReservesPositions(logs.setdefault(place, reading.SharedLog())),
        "nothing_comes_in_below_a_position_that_was_read",
        tmp_path,
    )


async def test_a_store_that_forgets_is_found(tmp_path: Path) -> None:
    await found(lambda place: MemoryStore(), "all_that_was_stored_is_there_when_it_is_opened_again", tmp_path)


async def test_an_id_made_with_each_opening_is_found(tmp_path: Path) -> None:
    await found(lambda place: MemoryStore(), "the_id_of_a_log_is_there_when_it_is_opened_again", tmp_path)


async def test_openings_that_share_nothing_are_found(tmp_path: Path) -> None:
    for check in ("each_opening_sees_what_the_others_did", "one_of_many_openings_wins_each_version"):
        await found(lambda place: MemoryStore(), check, tmp_path)


async def test_a_sqlite_store_that_is_deaf_to_others_is_found(tmp_path: Path) -> None:
    await found(
        lambda place: views.DeafToOthers(place / "store.db"),
        "an_append_of_another_opening_wakes_who_waits",
        tmp_path,
    )


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (views.FoldsOnlyItsOwn, "a_fold_is_given_what_another_opening_appended"),
        (views.FailsTheGroup, "only_the_append_that_failed_fails"),
    ],
)
async def test_a_broken_writer_of_the_sqlite_store_is_found(
    broken: type[Writer], check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "Writer", broken)
    await found(lambda place: SqliteStore(place / "store.db"), check, tmp_path)


async def test_a_store_that_is_not_broken_passes_the_same_checks(tmp_path: Path) -> None:
    """Else the runner below could find fault with anything."""
    for check in {check for _, check in IN_MEMORY}:
        fault = await fault_of(Contract(lambda place: MemoryStore()), check, tmp_path / check)
        assert fault is None, f"{check}: {fault!r}"


# --- running a check without pytest -----------------------------------------------------------------------------------


class Contract(StoreContract):
    patience = 0.3

    def __init__(self, opened: Open) -> None:
        self._opened = opened

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        return self._opened(place)


async def found(opened: Open, check: str, place: Path) -> None:
    for time in range(TIMES):
        fault = await fault_of(Contract(opened), check, place / f"{check}-{time}")
        assert fault is not None, f"in run {time + 1} the check {check} found nothing"


async def fault_of(contract: StoreContract, check: str, place: Path) -> BaseException | None:
    """What the check finds, in the first of its cases that finds anything."""
    method = getattr(contract, f"test_{check}")
    for number, arguments in enumerate(cases(method)):
        home = place / str(number)
        home.mkdir(parents=True)
        try:
            async with asyncio.timeout(20):
                if "store" in inspect.signature(method).parameters:
                    async with contract.open(home) as store:
                        await method(store=store, **arguments)
                else:
                    await method(tmp_path=home, **arguments)
        except (Exception, pytest.fail.Exception) as fault:
            return fault
    return None


def cases(method: Any) -> Iterator[dict[str, object]]:
    """The parameters of a check, as `pytest.mark.parametrize` gives them."""
    marks = [mark for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]
    for values in product(*(mark.args[1] for mark in marks)):
        arguments: dict[str, object] = {}
        for mark, value in zip(marks, values, strict=True):
            names = mark.args[0]
            arguments |= {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))
        yield arguments
