"""What can be set, where each setting comes from, and what it is by default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 3000
DEFAULT_STORE = "sqlite:///orders.db"
DEFAULT_CURRENCY = "USD"


class SettingRefused(Exception):
    """A setting has a value that cannot be used."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings. Each is a flag of `orders serve` and a variable TWOFOLD_<NAME> of the environment."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    store: str = DEFAULT_STORE
    currency: str = DEFAULT_CURRENCY
    max_body: int = 1_048_576  # bytes of a request's body
    command_seconds: float = 30.0  # how long a command may take before its outcome is called unknown
    stop_seconds: int = 20  # how long a graceful stop waits for requests that were accepted

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise SettingRefused(f"the currency must be three capital letters (ISO 4217), not {self.currency!r}")
        if not 0 <= self.port <= 65_535:
            raise SettingRefused(f"the port must be from 0 to 65535, not {self.port}")
        if min(self.max_body, self.command_seconds, self.stop_seconds) <= 0:
            raise SettingRefused("limits must be greater than zero")

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **flags: object) -> Settings:
        """The settings from flags that are not None, then TWOFOLD_* variables, then defaults. Raises SettingRefused."""
        environment = os.environ if environment is None else environment
        given: dict[str, object] = {}
        for field in cls.__struct_fields__:
            variable = f"TWOFOLD_{field.upper()}"
            if flags.get(field) is not None:
                given[field] = flags[field]
            elif environment.get(variable):
                given[field] = environment[variable]
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SettingRefused(str(error)) from error
