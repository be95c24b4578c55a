"""What can be set, where each setting comes from, and what it is by default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 3000
DEFAULT_STORE = "sqlite:///orders.db"
DEFAULT_CURRENCY = "USD"
MAX_PROCESSES = 256
GARBAGE = 50_000  # objects made and not freed, after which cycles are looked for: requests hardly make any


class Lifecycle(StrEnum):
    """How the views are kept: in the transaction of each append, or by subscriptions that follow the log."""

    INLINE = "inline"
    SUBSCRIBED = "subscribed"


class LogFormat(StrEnum):
    """How the logs are written: for people, or for programs that collect them."""

    TEXT = "text"
    JSON = "json"


class SettingRefused(Exception):
    """A setting has a value that cannot be used."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings. Each is a flag of `orders serve` and a variable TWOFOLD_<NAME> of the environment."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    store: str = DEFAULT_STORE
    views: Lifecycle | None = None  # by default what suits the store
    currency: str = DEFAULT_CURRENCY
    max_body: int = 1_048_576  # bytes of a request's body
    command_seconds: float = 30.0  # how long a command may take before its outcome is called unknown
    lease_seconds: float = 10.0  # after which a view goes over from a process that has died
    view_seconds: float = 1.0  # how long an answer may wait for the views that it reads
    desk: bool | None = None  # the order desk at /; by default on loopback, or where there are logins
    processes: int = 1  # that serve, behind one port
    metrics: bool | None = None  # whether to serve /metrics; by default only where none but this machine can ask
    log: LogFormat = LogFormat.TEXT  # of the logs on standard error
    stop_seconds: int = 20  # how long a graceful stop waits for requests that were accepted
    console: bool | None = None  # by default where somebody may see it: on loopback, or where there are logins
    console_logins: str = ""  # the file of those who may log in
    console_secret: str = ""  # signs sessions; by default one that is forgotten at the end

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise SettingRefused(f"the currency must be three capital letters (ISO 4217), not {self.currency!r}")
        if not 0 <= self.port <= 65_535:
            raise SettingRefused(f"the port must be from 0 to 65535, not {self.port}")
        if min(self.max_body, self.command_seconds, self.lease_seconds, self.stop_seconds) <= 0:
            raise SettingRefused("limits must be greater than zero")
        if self.view_seconds < 0:
            raise SettingRefused("the time to wait for views must not be below zero")
        if not 1 <= self.processes <= MAX_PROCESSES:
            raise SettingRefused(f"there can be 1 to {MAX_PROCESSES} processes, not {self.processes}")
        if self.processes > 1 and self.store == "memory:":
            raise SettingRefused("a store in memory serves one process: set processes to 1, or name another store")

    def variables(self) -> Mapping[str, str]:
        """The variables of the environment that say these settings, for a process of ours."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {_variable(name): str(value) for name, value in given.items() if value is not None}

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **flags: object) -> Settings:
        """The settings from flags that are not None, then TWOFOLD_* variables, then defaults. Raises SettingRefused."""
        environment = os.environ if environment is None else environment
        given: dict[str, object] = {}
        for field in cls.__struct_fields__:
            variable = _variable(field)
            if flags.get(field) is not None:
                given[field] = flags[field]
            elif environment.get(variable):
                given[field] = environment[variable]
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SettingRefused(str(error)) from error


def _variable(name: str) -> str:
    return f"TWOFOLD_{name.upper()}"
