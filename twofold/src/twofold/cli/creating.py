"""`twofold new`: a small project that runs and whose tests pass, made from the files in the folder `template`."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import typer

from twofold.cli.terminal import AskedWrongly, print_json

LONGEST = 50  # of a project's name
SUFFIX = ".template"  # so that no tool takes the files for code of ours

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def new_project(name: str, *, json: bool) -> None:
    """Make the project in a folder of its name. Raises AskedWrongly for a name that cannot be, or that is taken."""
    package = package_of(name)
    folder = Path(name)
    installed = metadata.distribution("twofold")
    source = source_of(installed.read_text("direct_url.json"))
    words = {"name": name, "package": package, "version": installed.version, "source": _in_makefile(source)}
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise AskedWrongly(f"{name} is there already; choose another name, or move it out of the way") from error
    except OSError as error:
        raise AskedWrongly(f"{name} cannot be made here: {error.strerror}") from error
    written = sorted(_write(resources.files("twofold.cli") / "template", folder, words))
    if json:
        print_json(msgspec.json.encode({"name": name, "package": package, "files": written}))
        return
    typer.echo(f"{name} is made: {len(written)} files")
    typer.echo(f"  cd {name}\n  make test\n  make serve")


def package_of(name: str) -> str:
    """The name of the project's package. Raises AskedWrongly where it could not be imported, or would hide another."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise AskedWrongly(
            f"{name!r} is no name for a project: take lower-case letters, digits and single - or _ between them, "
            f"a letter first, {LONGEST} characters at most"
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise AskedWrongly(f"{package} is a word of Python's own; choose another name")
    if package in sys.stdlib_module_names or package in _used():
        raise AskedWrongly(f"a package {package} would hide the one that is there; choose another name")
    return package


def source_of(direct_url: str | None) -> str:
    """What pip takes to install twofold from where it was installed from; empty if that was an index.

    `direct_url` is the record that installers keep of it (PEP 610). A new project takes twofold from there too, so
    that it can be set up before there is a twofold on PyPI, and has the one that made it.
    """
    if direct_url is None:
        return ""
    origin = msgspec.json.decode(direct_url, type=_Origin)
    place = unquote(urlsplit(origin.url).path) if origin.url.startswith("file:") else origin.url
    if origin.vcs_info is not None:
        place = f"{origin.vcs_info.vcs}+{origin.url}@{origin.vcs_info.commit_id}"
    return place if origin.subdirectory is None else f"{place}#subdirectory={origin.subdirectory}"


class _Revision(msgspec.Struct):
    vcs: str
    commit_id: str


class _Origin(msgspec.Struct):
    url: str
    vcs_info: _Revision | None = None
    subdirectory: str | None = None


def _in_makefile(value: str) -> str:
    """A value as a variable of make is given it."""
    return value.replace("$", "$$").replace("#", r"\#")


def _used() -> set[str]:
    """What a project imports, or has as a folder of its own."""
    required = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in metadata.requires("twofold") or ()}
    return {"twofold", "tests", *(name.replace("-", "_") for name in required)}


def _write(template: Traversable, folder: Path, words: dict[str, Any]) -> list[str]:
    """Write a template's files, with the words in their places. Answers their names, from the project's folder on."""
    written: list[str] = []
    for file in template.iterdir():
        if file.is_dir():
            inner = folder / "src" / words["package"] if file.name == "src" else folder / file.name
            inner.mkdir(parents=True)
            written += [f"{inner.relative_to(folder)}/{name}" for name in _write(file, inner, words)]
        elif file.name.endswith(SUFFIX):
            name = file.name.removesuffix(SUFFIX)
            name = f".{name}" if name == "gitignore" else name
            text = file.read_text("utf-8")
            for word, value in words.items():
                text = text.replace(f"{{{{{word}}}}}", value)
            (folder / name).write_text(text, "utf-8")
            written.append(name)
    return written
