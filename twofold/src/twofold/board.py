"""Where processes that share a port leave their numbers, so that whichever is asked can tell those of all.

Each writes a file of its own, all at once by renaming it, and reads those of the others. They are in memory where the
system has a place for that: no event loop waits for a disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from twofold.statistics import Process

STALE_SECONDS = 5.0  # of a process that has told nothing for so long nobody tells: it is dead, or as good as that
BOARD = "TWOFOLD_BOARD"  # the variable that tells a process where the board is
MEMORY = Path("/dev/shm")  # noqa: S108 - the folder that is made in it is for this user alone

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Process).decode


@contextmanager
def made_board() -> Generator[Path]:
    """A folder for the files, gone at the end of the block."""
    with TemporaryDirectory(prefix="twofold-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


class Board:
    """The files, as one of the processes sees them."""

    def __init__(self, folder: Path, process: str) -> None:
        self._folder = folder
        self._own = folder / f"{process}.json"

    def tell(self, process: Process) -> None:
        """Leave the numbers of this process for the others. A board that is gone is no reason to fail."""
        with suppress(OSError):
            new = self._own.with_suffix(".new")
            new.write_bytes(_encode(process))
            new.replace(self._own)

    def others(self) -> Sequence[Process]:
        """The numbers of the others that live."""
        found: list[Process] = []
        for file in self._folder.glob("*.json"):
            with suppress(OSError, msgspec.MsgspecError):
                if file != self._own and time.time() - file.stat().st_mtime < STALE_SECONDS:
                    found.append(_decode(file.read_bytes()))
        return found

    def leave(self) -> None:
        """Take the own file away; the last one takes the folder, whose maker may have been killed."""
        with suppress(OSError):
            self._own.unlink()
            os.rmdir(self._folder)
