"""The application whose code commands work with: one that mounts them itself, or one that `twofold --app` names."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from twofold.cli.terminal import AskedWrongly

if TYPE_CHECKING:
    from twofold.model import Model
    from twofold.views import Views


@dataclass(frozen=True)
class Program:
    """An application as its commands know it, asked for its parts when a command is run.

    `name` is that of its command. `opening` opens the store that a URL names, with the application's views, and runs
    none of them. `model` says what it is made of, None where nobody knows. `store` is the URL that is used where none
    is given; None: one must be given.
    """

    name: str
    opening: Callable[[str], AbstractAsyncContextManager[Views]]
    model: Callable[[], Model | None]
    store: str | None = None

    def known_model(self, purpose: str) -> Model:
        """The model. Raises AskedWrongly where there is none, but the purpose needs the code."""
        model = self.model()
        if model is None:
            raise AskedWrongly(
                f"{purpose}, and none is here; name the application, as in `twofold --app shop.app:MODEL ...` or with "
                "TWOFOLD_APP"
            )
        return model


class Chosen:
    """The application that was named on the command line; none at first."""

    def __init__(self) -> None:
        self.name: str | None = None
        """As in `shop.app:MODEL`."""

    def model(self) -> Model | None:
        """Its model. Raises AskedWrongly where there is none of this name."""
        return None if self.name is None else load(self.name)

    @asynccontextmanager
    async def opening(self, url: str) -> AsyncGenerator[Views]:
        """The store with its views, as they are kept there; without an application, any store. Raises StoreRefused."""
        from twofold.connect import connect  # noqa: PLC0415 - who asks for help waits for no store
        from twofold.views import Views  # noqa: PLC0415 - nor for SQLAlchemy

        model = self.model()
        async with connect(url, create=False) as store:
            yield Views(store) if model is None else await Views.found(store, model.views)


def load(name: str) -> Model:
    """The model that `module:NAME` names, looked for in the working directory, too. Raises AskedWrongly."""
    from twofold.model import Model  # noqa: PLC0415 - it brings SQLAlchemy

    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise AskedWrongly(f"{name!r} names no model: say MODULE:NAME, as in shop.app:MODEL")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: object = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise AskedWrongly(
            f"there is no module {module} here; run twofold where it is installed, or in the folder that it stands in"
        ) from error
    if not isinstance(found, Model):
        raise AskedWrongly(f"{name} is no twofold.model.Model")
    return found
