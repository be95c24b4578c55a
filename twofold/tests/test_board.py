"""The board: numbers come back as they were told, and only of those that live."""

from __future__ import annotations

import os
import time
from pathlib import Path

from twofold.board import STALE_SECONDS, Board, made_board
from twofold.metrics import Metrics
from twofold.statistics import AppendStatistics, Process


def process(name: str) -> Process:
    metrics = Metrics(AppendStatistics(), process=name)
    metrics.requests.add(("GET", "/orders", "2xx"), 0.002)
    metrics.commands.add(("CreateOrder", "done"), 0.003)
    return metrics.read()


def test_numbers_are_told_and_read() -> None:
    with made_board() as folder:
        one, other = Board(folder, "1"), Board(folder, "2")
        told = process("1")
        one.tell(told)
        assert list(other.others()) == [told]
        assert list(one.others()) == []
        one.leave()
        assert list(other.others()) == []
    assert not folder.exists()


def test_who_is_silent_or_tells_nonsense_is_left_out(tmp_path: Path) -> None:
    board = Board(tmp_path, "1")
    Board(tmp_path, "2").tell(process("2"))
    (tmp_path / "3.json").write_bytes(b'{"name": ')
    assert [each.name for each in board.others()] == ["2"]
    past = time.time() - STALE_SECONDS - 1
    os.utime(tmp_path / "2.json", (past, past))
    assert list(board.others()) == []


def test_the_last_one_takes_the_folder_and_a_board_that_is_gone_fails_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    boards = [Board(folder, name) for name in ("1", "2")]
    for board in boards:
        board.tell(process("1"))
    for board in boards:
        board.leave()
    assert not folder.exists()
    boards[0].tell(process("1"))
    assert list(boards[0].others()) == []
    boards[0].leave()
