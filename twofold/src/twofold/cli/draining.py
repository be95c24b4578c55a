"""What a person does about parked events: try them again, leave one out for a reason, take it back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.text import Text

from twofold.cli.printing import print_answer, said, show, tell
from twofold.cli.progress import progress_bar
from twofold.cli.subscriptions import Opening, given
from twofold.cli.terminal import at_terminal
from twofold.operating import Operator, Retried
from twofold.parked import Letter


async def retry_letters(
    opening: Opening, url: str, name: str, *, sequence: str | None, position: int | None, json: bool
) -> bool:
    """Fold what waits, sequence by sequence, with the code of today; whether nothing is left. Raises LetterUnknown."""
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        found = await operator.find(name)
        with progress_bar("Retrying") as report:
            outcomes = await operator.retry(found, sequence=sequence, position=position, on_progress=report)
    _print_retried(found.name, outcomes, json=json)
    return not any(outcome.left for outcome in outcomes)


async def skip_letter(
    opening: Opening, url: str, name: str, position: int, *, sequence: str | None, reason: str, json: bool
) -> None:
    """Leave the first event of a sequence out. Raises LetterUnknown, LetterRefused, AskedWrongly."""
    reason = given(reason)
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        letter = await operator.skip(await operator.find(name), position, sequence, reason)
    _tell(letter, "skipped", "skipped", json=json)


async def undo_skip(opening: Opening, url: str, name: str, position: int, *, sequence: str | None, json: bool) -> None:
    """Take a skipped event back into its sequence. Raises LetterUnknown, LetterRefused, SkipOvertaken."""
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        letter = await operator.undo_skip(await operator.find(name), position, sequence)
    _tell(letter, "undone", "no longer skipped: it waits", json=json)


def _print_retried(name: str, outcomes: Sequence[Retried], *, json: bool) -> None:
    for outcome in outcomes:
        if json:
            print_answer({"name": name, **msgspec.structs.asdict(outcome)})
        else:
            why = "" if outcome.error is None else f": {outcome.error}"
            far = f"  {outcome.folded} folded, {outcome.left} left"
            show(Text.assemble(said(outcome.sequence, "cyan"), far, said(why, "red")))
    if not outcomes and not json:
        show(said(f"Nothing waits in {name}"))


def _tell(letter: Letter, done: str, how: str, *, json: bool) -> None:
    line = {"name": letter.name, "sequence": letter.sequence, "position": letter.position, "done": done}
    tell(f"event {letter.position} of {letter.sequence} in {letter.name} is {how}", line, json=json)
