"""What must not type-check does not, and nothing else is refused: the types are a promise, so they are tested.

The files of `typing_negative` hold lines that are marked `# refused: <word>`. Pyright and mypy must refuse exactly
those, with a message that has the word in it: a refusal for another reason proves nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "typing_negative"
FILES = sorted(FOLDER.glob("*.py"))

Refusals = Mapping[tuple[str, int], str]
"""What a checker said, by file and line."""


def marked() -> Refusals:
    """The word that must be in the refusal of each marked line."""
    words: dict[tuple[str, int], str] = {}
    for file in FILES:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            if found := re.search(r"# refused: (\w+)$", line):
                words[file.name, number] = found[1]
    return words


def test_pyright_refuses_exactly_the_marked_lines() -> None:
    assert_exactly_marked(by_pyright())


def test_mypy_refuses_exactly_the_marked_lines() -> None:
    assert_exactly_marked(by_mypy())


def assert_exactly_marked(refused: Refusals) -> None:
    words = marked()
    assert len(words) > 25  # the marks were found at all
    missed = sorted(set(words) - set(refused))
    assert not missed, f"not refused: {missed}"
    more = {line: text for line, text in refused.items() if line not in words}
    assert not more, f"refused without a mark: {more}"
    for line, word in words.items():
        assert word in refused[line], f"{line}: expected {word!r} in: {refused[line]}"


def by_pyright() -> Refusals:
    answer = run("pyright", "--outputjson", "--project", str(FOLDER))
    refused: dict[tuple[str, int], str] = {}
    for told in json.loads(answer)["generalDiagnostics"]:
        line = (Path(told["file"]).name, told["range"]["start"]["line"] + 1)
        refused[line] = refused.get(line, "") + told["message"]
    return refused


def by_mypy() -> Refusals:
    answer = run("mypy", "--no-error-summary", "--hide-error-context", *map(str, FILES))
    refused: dict[tuple[str, int], str] = {}
    for told in answer.splitlines():
        found = re.match(r"(?P<file>.+?):(?P<line>\d+): (error|note): (?P<text>.*)", told)
        assert found, f"mypy could not check at all: {answer}"
        line = (Path(found["file"]).name, int(found["line"]))
        refused[line] = refused.get(line, "") + found["text"]
    return refused


def run(checker: str, *arguments: str) -> str:
    """What the checker prints. Exit code 1 means that it found something, anything else that it could not run."""
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", checker, *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 1:
        pytest.fail(f"{checker} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout
