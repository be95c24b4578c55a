"""How often somebody may try a password: a few times at once, then ever more slowly."""

from __future__ import annotations

import time
from collections import OrderedDict

FREE = 5  # wrong attempts on a name before it has to wait
LONGEST_SECONDS = 60.0  # between two attempts: a name can be slowed down by others, never locked out
NAMES = 10_000  # that are remembered; of more, the oldest are forgotten


class Attempts:
    """The wrong attempts of late, by name."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def seconds(self, name: str) -> float:
        """How long the name must wait before it is looked at again."""
        wrong, last = self._wrong.get(name, (0, 0.0))
        if wrong < FREE:
            return 0.0
        return max(0.0, last + min(LONGEST_SECONDS, 2.0 ** (wrong - FREE)) - time.monotonic())

    def failed(self, name: str) -> None:
        """Note a wrong attempt. It is noted before the password is looked at, so that many at once count as many."""
        wrong, _ = self._wrong.pop(name, (0, 0.0))
        self._wrong[name] = min(wrong + 1, 100), time.monotonic()
        if len(self._wrong) > NAMES:
            self._wrong.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the wrong ones."""
        self._wrong.pop(name, None)
