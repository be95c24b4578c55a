"""`twofold new`: what it makes runs, its tests pass, and a name that cannot be is refused before anything is made."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from test_cli_twofold import command
from twofold.cli.creating import package_of, source_of
from twofold.cli.terminal import AskedWrongly

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """What a program prints that must succeed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("TWOFOLD_", "PYTEST_", "MAKE"))}
    done = subprocess.run(
        [str(each) for each in arguments],
        cwd=cwd,
        env={**plain, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def in_this_environment(project: Path) -> Mapping[str, str]:
    """Give a project the environment that we run in, instead of one that is filled from PyPI."""
    (project / ".venv" / "bin").mkdir(parents=True)
    python = project / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (project / ".venv" / ".ready").touch()
    return {"PYTHONPATH": str(project / "src")}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_new_project_passes_its_tests(tmp_path: Path) -> None:
    code, printed, _ = command("new", "my-shop", cwd=tmp_path)
    assert code == 0
    assert printed == "my-shop is made: 14 files\n  cd my-shop\n  make test\n  make serve\n"
    project = tmp_path / "my-shop"
    printed = run("make", "test", cwd=project, **in_this_environment(project))
    assert "9 passed" in printed
    assert "make serve" in run("make", cwd=project)
    left = [file for file in project.rglob("*") if file.is_file() and "{{" in file.read_text("utf-8", "ignore")]
    assert not [file for file in left if ".venv" not in file.parts]


def test_a_new_project_is_as_clean_as_we_are(tmp_path: Path) -> None:
    assert command("new", "shop", "--json", cwd=tmp_path)[0] == 0
    project = tmp_path / "shop"
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    select, line = ",".join(rules["lint"]["select"]), f"line-length={rules['line-length']}"
    ignore = ",".join([*rules["lint"]["ignore"], "S101", "S310", "S603", "T201", "PLC0415"])
    ruff = (sys.executable, "-m", "ruff")
    run(*ruff, "check", "--isolated", "--config", line, "--select", select, "--ignore", ignore, ".", cwd=project)
    run(*ruff, "format", "--isolated", "--config", line, "--check", ".", cwd=project)
    settings = {"typeCheckingMode": "strict", "extraPaths": ["src"]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, cwd=project)


def test_a_new_project_takes_twofold_from_where_it_was_installed_from(tmp_path: Path) -> None:
    """There may be no twofold on PyPI, and what is there may be another than the one that made the project."""
    assert command("new", "shop", cwd=tmp_path)[0] == 0
    assert f"TWOFOLD_SOURCE ?= {ROOT / 'twofold'}\n" in (tmp_path / "shop" / "Makefile").read_text("utf-8")


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (None, ""),
        ({"url": "file:///home/ann/two%20fold", "dir_info": {"editable": True}}, "/home/ann/two fold"),
        ({"url": "file:///srv/twofold-0.1.0.whl", "archive_info": {}}, "/srv/twofold-0.1.0.whl"),
        (
            {
                "url": "https://git.example/twofold.git",
                "vcs_info": {"vcs": "git", "commit_id": "a1b2"},
                "subdirectory": "twofold",
            },
            "git+https://git.example/twofold.git@a1b2#subdirectory=twofold",
        ),
    ],
)
def test_where_twofold_was_installed_from_is_known(record: object, source: str) -> None:
    assert source_of(None if record is None else json.dumps(record)) == source


def test_a_new_service_says_that_its_port_is_taken(tmp_path: Path) -> None:
    assert command("new", "shop", cwd=tmp_path)[0] == 0
    project = tmp_path / "shop"
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for asked, why in ((port, f"cannot listen on 127.0.0.1, port {port}"), ("70000", "Invalid value for '--port'")):
            serve = (sys.executable, "-m", "shop", "serve", "--port", asked)
            done = subprocess.run(serve, cwd=project, env=environment, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (2, "")
            assert why in done.stderr
    assert not (project / "shop.db").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Shop", "is no name for a project"),
        ("9shop", "is no name for a project"),
        ("my--shop", "is no name for a project"),
        ("../shop", "is no name for a project"),
        ("a" * 51, "is no name for a project"),
        ("class", "is a word of Python's own"),
        ("match", "is a word of Python's own"),
        ("json", "would hide the one that is there"),
        ("msgspec", "would hide the one that is there"),
        ("twofold", "would hide the one that is there"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, why: str) -> None:
    with pytest.raises(AskedWrongly, match=why):
        package_of(name)


def test_a_refused_name_makes_nothing(tmp_path: Path) -> None:
    code, printed, complained = command("new", "json", cwd=tmp_path)
    assert (code, printed) == (2, "")
    assert complained == "error: a package json would hide the one that is there; choose another name\n"
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "Makefile").write_text("mine")
    code, _, complained = command("new", "shop", cwd=tmp_path)
    assert code == 2
    assert complained == "error: shop is there already; choose another name, or move it out of the way\n"
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["Makefile"]
    assert (tmp_path / "shop" / "Makefile").read_text() == "mine"


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_newcomer_gets_a_project_that_runs_from_wheels(tmp_path: Path) -> None:
    """An empty environment, twofold from its wheel, the project's own dependencies from an index."""
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT / "twofold", cwd=tmp_path)
    (wheel,) = tmp_path.glob("twofold-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    run(tmp_path / "env/bin/python", "-m", "pip", "install", "--quiet", f"{wheel}[cli]", cwd=tmp_path)
    run(tmp_path / "env/bin/twofold", "new", "shop", cwd=tmp_path)
    project = tmp_path / "shop"
    assert "9 passed" in run("make", "test", cwd=project)  # which takes twofold from the same wheel
    assert "projections" in run(".venv/bin/shop", "--help", cwd=project)
