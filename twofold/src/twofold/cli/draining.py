"""What a person does about parked events: try them again, leave one out for a reason, take it back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from twofold.cli.letters import LetterMissing, letters_at
from twofold.cli.subscriptions import Opening, code_of, find, given
from twofold.cli.terminal import AskedWrongly, print_json, printable, progress_bar
from twofold.parked import Drained, Letter, Parked
from twofold.sql import Work

Part = tuple[int, str]
"""A sequence within a part of the subscription: what is drained in order."""


async def retry_letters(
    opening: Opening, url: str, name: str, *, sequence: str | None, position: int | None, json: bool
) -> bool:
    """Fold what waits, sequence by sequence, with the code of today; whether nothing is left. Raises LetterMissing."""
    async with opening(url) as views:
        found = await find(views, name)
        subscriber = views.subscriber(code_of(found))
        parked = Parked(views.store)
        waiting = [letter for letter in await parked.letters(found.name) if letter.skipped is None]
        asked: dict[Part, None] = {
            (letter.partition, letter.sequence): None  # the keys of a dictionary keep their order
            for letter in sorted(waiting, key=lambda letter: letter.position)
            if sequence in (None, letter.sequence) and position in (None, letter.position)
        }
        if not asked and (sequence is not None or position is not None):
            raise LetterMissing(f"nothing of the kind waits in {found.name}; `parked {name}` lists what does")
        outcomes: list[tuple[Part, Drained]] = []
        with progress_bar("Retrying") as report:
            for number, part in enumerate(asked):
                report(number, len(asked))
                outcomes.append((part, await parked.retry(subscriber, *part)))
    _print_drained(found.name, outcomes, json=json)
    return not any(drained.left for _, drained in outcomes)


async def skip_letter(
    opening: Opening, url: str, name: str, position: int, *, sequence: str | None, reason: str, json: bool
) -> None:
    """Leave the first event of a sequence out. Raises LetterMissing, AskedWrongly."""
    reason = given(reason)
    async with opening(url) as views:
        found = await find(views, name)
        parked = Parked(views.store)
        asked = await _asked(parked, found.name, position, sequence)
        waiting = [letter for letter in asked if letter.skipped is None]
        if not waiting:
            raise LetterMissing(f"event {position} is skipped already, for: {asked[0].skipped}")
        for letter in waiting:
            first = await _first(parked, letter)
            if first < position:
                raise LetterMissing(f"event {first} waits in front of event {position}: only the first can be skipped")
        await views.store.work(lambda: _skip(parked, waiting, reason))
    _tell(asked[0], "skipped", "skipped", json=json)


async def undo_skip(opening: Opening, url: str, name: str, position: int, *, sequence: str | None, json: bool) -> None:
    """Take a skipped event back into its sequence. Raises LetterMissing, AskedWrongly, SkipOvertaken."""
    async with opening(url) as views:
        found = await find(views, name)
        parked = Parked(views.store)
        asked = await _asked(parked, found.name, position, sequence)
        skipped = [letter for letter in asked if letter.skipped is not None]
        if not skipped:
            raise LetterMissing(f"event {position} is not skipped: it waits")
        await views.store.work(lambda: _undo(parked, skipped))
    _tell(asked[0], "undone", "no longer skipped: it waits", json=json)


def _skip(parked: Parked, letters: Sequence[Letter], reason: str) -> Work[None]:
    for letter in letters:
        yield from parked.leave_out(letter, reason)


def _undo(parked: Parked, letters: Sequence[Letter]) -> Work[None]:
    for letter in letters:
        yield from parked.take_back(letter)


async def _asked(parked: Parked, name: str, position: int, sequence: str | None) -> list[Letter]:
    """The letters of an event in one sequence: an event that cannot be read has one in each part of the subscription.

    Raises LetterMissing, and AskedWrongly where there are several sequences to choose from.
    """
    letters = await letters_at(parked, name, position)
    asked = [letter for letter in letters if sequence in (None, letter.sequence)]
    if not asked:
        raise LetterMissing(f"event {position} is not parked in the sequence {sequence} of {name}")
    sequences = sorted({letter.sequence for letter in asked})
    if len(sequences) > 1:
        raise AskedWrongly(
            f"event {position} is parked in several sequences; say which with --sequence: {', '.join(sequences)}"
        )
    return asked


async def _first(parked: Parked, letter: Letter) -> int:
    """The position of the first letter that waits in the same sequence as this one."""
    return min(
        other.position
        for other in await parked.letters(letter.name)
        if (other.partition, other.sequence) == (letter.partition, letter.sequence) and other.skipped is None
    )


def _print_drained(name: str, outcomes: Sequence[tuple[Part, Drained]], *, json: bool) -> None:
    console = Console(highlight=False)
    for (partition, sequence), drained in outcomes:
        if json:
            line = {"name": name, "sequence": sequence, "partition": partition, **drained._asdict()}
            print_json(msgspec.json.encode(line))
        else:
            said = Text.assemble((printable(sequence), "cyan"), f"  {drained.folded} folded, {drained.left} left")
            if drained.error is not None:
                said.append(f": {printable(drained.error)}", "red")
            console.print(said, soft_wrap=True)
    if not outcomes and not json:
        console.print(Text(f"Nothing waits in {printable(name)}"))


def _tell(letter: Letter, done: str, said: str, *, json: bool) -> None:
    if json:
        line = {"name": letter.name, "sequence": letter.sequence, "position": letter.position, "done": done}
        print_json(msgspec.json.encode(line))
    else:
        sentence = f"event {letter.position} of {letter.sequence} in {letter.name} is {said}"
        Console(highlight=False).print(Text(printable(sentence)), soft_wrap=True)
