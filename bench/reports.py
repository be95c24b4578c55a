"""What the benchmarks say: a table for people, JSON for programs, a plot for documents."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.comparing import Measured


def table(measured: Sequence[Measured], missing: Mapping[str, str]) -> Table:
    """Ratios first: they travel to other machines. `missing` are the works that could not be run, and why."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    grid.add_column("Work", overflow="fold", ratio=1)
    for heading in ("Ratio", "Spread", "Target", "Ours", "Theirs"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("To", no_wrap=True)
    for each in measured:
        sign = "≤" if each.less_is_better else "≥"
        grid.add_row(
            each.work,
            Text(f"{each.ratio:.2f}", "green" if each.reached else "red"),
            f"{min(each.ratios):.2f}-{max(each.ratios):.2f}",
            f"{sign} {each.target:g}",
            _figure(each.ours, each.unit),
            _figure(each.theirs, each.unit),
            each.names[1],
        )
    for work, reason in missing.items():
        grid.add_row(work, Text("-", "dim"), "", "", "", "", Text(reason, "dim"))
    return grid


def _figure(rounds: Sequence[float], unit: str) -> str:
    median = statistics.median(rounds)
    return f"{median:,.0f}{unit}" if median >= 100 else f"{median:.3g}{unit}"


def show(measured: Sequence[Measured], missing: Mapping[str, str]) -> None:
    """Print the table."""
    Console().print(table(measured, missing))


def write_json(path: Path, measured: Sequence[Measured], missing: Mapping[str, str]) -> None:
    """Write all figures of all rounds, and what kind of machine they are of."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "measured": [{"ratio": each.ratio, "reached": each.reached, **asdict(each)} for each in measured],
        "missing": dict(missing),
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
