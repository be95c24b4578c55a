"""The documentation is run: every program in it, every command at a prompt. Its links to our own files are followed.

How a page says what is to be run:

- A block of `python` begins with a comment that names its file. It is written to an empty folder of the page.
- A block of `console` holds commands after `$ ` and, below each, what it prints; `…` stands for anything. A program
  that no command names or imports is run by itself.
- `<!-- file shop.py from 3-log.md -->` takes a file from another page.
- A page that speaks of 127.0.0.1:3000 is given a running order service.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from servers import free_port

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")})

_STEP = re.compile(r"^```(python|console)\n(.*?)^```$|^<!-- file (\S+) from (\S+) -->$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\S+\.py)\n")
_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
_SERVICE = "127.0.0.1:3000"
_END = "\0"  # after what a command prints


class Command(NamedTuple):
    """A command at a prompt, and what it is said to print."""

    line: str
    printed: str


class File(NamedTuple):
    """A program."""

    name: str
    text: str


def read(page: Path) -> Iterator[Command | File]:
    """What a page asks to be written and run, in its order."""
    for kind, block, name, source in _STEP.findall(page.read_text("utf-8")):
        if name:
            yield next(s for s in read(page.parent / source) if isinstance(s, File) and s.name == name)
        elif kind == "python":
            named = _NAME.match(block)
            assert named, f"a program must begin with the name of its file, as in `# step1.py`:\n{block[:200]}"
            yield File(named[1], block)
        else:
            prompts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
            for prompt in prompts:
                lines = prompt.splitlines()
                end = next(n for n in range(1, len(lines) + 1) if is_whole("\n".join(lines[:n])))
                yield Command("\n".join(lines[:end]), "\n".join(lines[end:]))


def is_whole(line: str) -> bool:
    """Whether a shell would run this, and not ask for more."""
    try:
        shlex.split(line)
    except ValueError:
        return False
    return not line.endswith("\\")


def steps_of(page: Path) -> list[Command | File]:
    """The steps of a page, and one more for each program that nothing else runs."""
    steps = list(read(page))
    files = {step.name: step for step in steps if isinstance(step, File)}
    said = [step.line if isinstance(step, Command) else step.text for step in steps]

    def is_run(name: str) -> bool:
        used = rf"(?<!# )\b{re.escape(name)}|(from|import) {re.escape(name.removesuffix('.py'))}\b"
        return any(re.search(used, text) for text in said)

    alone = [name for name in files if not is_run(name)]
    return [*steps, *(Command(f"python {name}", "") for name in alone)]


def script_of(steps: list[Command | File], *, with_service: bool) -> str:
    """One shell script, so that a page's variables and jobs last from block to block."""
    lines = ["exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    if with_service:
        ready = f"http://{_SERVICE}/readyz"
        lines += [
            "orders serve >serve.log 2>&1 &",
            f"curl -sf -o ready --retry 30 --retry-delay 1 --retry-connrefused {ready} || {{ cat serve.log; exit; }}",
        ]
    for step in steps:
        if isinstance(step, File):
            lines.append(f"cat >{step.name} <<'#END'\n{step.text}#END")
        else:
            lines.append(f"{step.line}\nprintf '\\0'")
    return "\n".join(lines)


def run(script: str, folder: Path) -> list[str]:
    """What each command of the script printed, without blanks at the ends of lines."""
    ports = {port: str(free_port()) for port in ("3000", "8000")}  # those of the pages may be taken
    for port, free in ports.items():
        script = re.sub(rf"\b{port}\b", free, script)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TWOFOLD_", "PYTEST_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a page's own tests are plain ones
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "TWOFOLD_PORT": ports["3000"],
    }
    with subprocess.Popen(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            printed, _ = shell.communicate(timeout=90)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what a page left running
    return [re.sub(r"[ \t]+$", "", part, flags=re.MULTILINE).strip("\n") for part in printed.split(_END)]


def test_there_are_pages() -> None:
    assert ROOT / "README.md" in PAGES
    assert any(isinstance(step, File) for page in PAGES for step in read(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    steps = steps_of(page)
    commands = [step for step in steps if isinstance(step, Command)]
    if any("curl" in command.line for command in commands) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if not commands:
        return
    with_service = any(_SERVICE in command.line for command in commands)
    printed = run(script_of(steps, with_service=with_service), tmp_path)
    for command, came in zip(commands, printed, strict=False):
        expected = ".*?".join(re.escape(part) for part in command.printed.strip("\n").split("…"))
        told = f"$ {command.line}\n{came}\n--- but the page says\n{command.printed}"
        assert re.fullmatch(expected, came, re.DOTALL), told
    assert len(printed) == len(commands) + 1, f"not all commands were run:\n{printed[-1]}"


def test_the_programs_type_check(tmp_path: Path) -> None:
    """Under pyright strict, each page by itself."""
    roots: list[Path] = []
    for number, page in enumerate(PAGES):
        for file in (step for step in read(page) if isinstance(step, File)):
            roots.append(tmp_path / str(number))
            roots[-1].mkdir(exist_ok=True)
            (roots[-1] / file.name).write_text(file.text, "utf-8")
    environments = [{"root": str(root)} for root in dict.fromkeys(roots)]
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "executionEnvironments": environments}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "pyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{[str(page) for page in PAGES]}\n{checked.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / path if path else page
        assert file.exists(), f"{target} leads nowhere"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: there is no such heading"


@pytest.mark.parametrize("package", ["twofold", "orders"])
def test_every_module_is_on_the_map(package: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    part = re.search(rf"^{package}/src/{package}/\n(.*?)^\n", text, re.MULTILINE | re.DOTALL)
    assert part, f"ARCHITECTURE.md has no map of {package}"
    modules = [file.name for file in (ROOT / package / "src").rglob("*.py") if not file.name.startswith("__")]
    assert sorted(re.findall(r"\w+\.py\b", part[1])) == sorted(modules)


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
