"""The command `twofold` run in the process of the test, on a thread: as `command` does, and without a start each."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import chdir
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import pytest

from twofold.cli import main

Terminal: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]
"""Runs a command to its end: its exit code, what it printed, what it complained."""


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in an empty folder, 200 columns wide."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TWOFOLD_STORE", raising=False)

    def run(*arguments: str) -> int:
        with patch.object(sys, "argv", ["twofold", *arguments]), chdir(tmp_path):
            try:
                main()
            except SystemExit as left:
                return left.code if isinstance(left.code, int) else 1
        return 0

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, *arguments)
        printed, complained = capsys.readouterr()
        return code, printed, complained

    return command
