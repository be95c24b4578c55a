"""Orders that no view can fold, as a fault in its code would make them."""

from __future__ import annotations

from typing import Any

import pytest

import twofold.letters as letters_module
from orders.details import details


class Poison:
    """Makes the fold of some orders fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.orders: set[str] = set()
        self.error = "this cannot be folded"
        monkeypatch.setattr(letters_module, "RETRY_SECONDS", ())  # no letter is tried by itself
        evolve = type(details.projection).evolve

        def failing(projection: Any, view: Any, recorded: Any) -> Any:
            if recorded.stream.removeprefix("order-") in self.orders:
                raise RuntimeError(self.error)
            return evolve(projection, view, recorded)

        monkeypatch.setattr(type(details.projection), "evolve", failing)
