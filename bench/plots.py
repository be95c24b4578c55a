"""Pictures of what was measured, as SVG. Who wants none needs no matplotlib: it is imported where they are drawn."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparing import Measured

REACHED, MISSED, DIM, TEXT = "#2f7d5b", "#c2513b", "#8a8f98", "#2a2e35"
LINES = ("#2f6db3", "#d98324", "#2f7d5b", "#8a5bb0", "#c2513b", "#5d6672", "#1b9aaa", "#a0782c", "#d1609b")
ROW_INCHES = 0.42
NAME_LETTERS = 52
STYLE: Mapping[str, object] = {
    "font.size": 9,
    "axes.edgecolor": DIM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "svg.fonttype": "none",  # text stays text: it can be searched, and the file is small
    "svg.hashsalt": "twofold",  # the same figures make the same file
}


@dataclass(frozen=True)
class Panel:
    """One part of a picture of growth: named lines, a figure for each size. `most` is what they are to stay under."""

    title: str
    lines: Mapping[str, Sequence[float]]
    logarithmic: bool = False
    most: float | None = None


def ratios(path: Path, measured: Sequence[Measured]) -> None:
    """How far each comparison is beyond its target, or short of it: to the right is better, whatever is measured."""
    pyplot = _pyplot()
    if pyplot is None or not measured:
        return
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(10.5, 1.3 + ROW_INCHES * len(measured)), layout="constrained")
        for row, each in enumerate(measured):
            by_target = sorted(_by_target(each, ratio) for ratio in each.ratios)
            middle, least, most = _by_target(each, each.ratio), by_target[0], by_target[-1]
            colour = REACHED if each.reached else MISSED
            axes.barh(row, middle - 1, left=1, height=0.62, color=colour, alpha=0.85)
            spread = [[middle - least], [most - middle]]
            axes.errorbar(middle, row, xerr=spread, color=TEXT, elinewidth=0.9, capsize=2.5)
            sign = "≤" if each.less_is_better else "≥"
            said = f"{each.ratio:.3g}  (target {sign} {each.target:g})"
            axes.annotate(said, (max(most, 1), row), (6, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_xscale("log")
        axes.axvline(1, color=TEXT, linewidth=1)
        _plain_numbers(axes.xaxis, (1, 2, 5))
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (high / low) ** 0.28)  # room for what is written beside the longest bar
        axes.set_yticks(range(len(measured)), [_name(each) for each in measured])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(measured) - 0.4, -0.6)  # the first on top
        axes.grid(axis="x", color=DIM, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("ratio by target: 1 is the target, further right is better; median and spread of the rounds")
        _save(pyplot, figure, path)


def curves(path: Path, title: str, sizes: Sequence[int], panels: Sequence[Panel]) -> None:
    """How figures grow with the number of events, which is on a logarithmic scale; a panel for each kind."""
    pyplot = _pyplot()
    if pyplot is None or not panels:
        return
    with pyplot.rc_context(STYLE):
        rows = (len(panels) + 1) // 2
        figure, grid = pyplot.subplots(rows, 2, figsize=(11, 3.6 * rows), layout="constrained", squeeze=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        places: list[Any] = [axes for row in grid for axes in row]
        for axes in places[len(panels) :]:
            axes.remove()
        for axes, panel in zip(places, panels, strict=False):
            _draw(axes, sizes, panel)
        _save(pyplot, figure, path)


def _draw(axes: Any, sizes: Sequence[int], panel: Panel) -> None:
    for (name, figures), colour in zip(panel.lines.items(), LINES * len(panel.lines), strict=False):
        axes.plot(sizes, figures, color=colour, marker="o", markersize=3.5, linewidth=1.4, label=name)
    axes.set_title(panel.title)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("events")
    if panel.logarithmic:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis, (1,))
    else:
        axes.yaxis.set_major_formatter("{x:,.6g}")
        axes.set_ylim(0, 1.15 * max(panel.most or 0, *(max(figures) for figures in panel.lines.values())))
    if panel.most is not None:
        axes.axhline(panel.most, color=MISSED, linestyle="--", linewidth=1, label="limit")
    axes.grid(color=DIM, alpha=0.25, linewidth=0.6)
    if len(panel.lines) > 1 or panel.most is not None:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _by_target(each: Measured, ratio: float) -> float:
    return each.target / ratio if each.less_is_better else ratio / each.target


def _name(each: Measured) -> str:
    """What was done, and beside whom."""
    other = each.names[1]
    said = each.work if other in each.work else f"{each.work} ({other})"
    return "\n".join(textwrap.wrap(said, NAME_LETTERS))


def _plain_numbers(axis: Any, steps: Sequence[int]) -> None:
    """Numbers on a logarithmic axis as people write them, these in each power of ten."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.6g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
    pyplot.close(figure)
    print(f"{path} is drawn")


def _pyplot() -> Any:
    """matplotlib for files, without a window; None, and a line that says so, where it is not installed."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        print("nothing is drawn: matplotlib is not installed (pip install --group bench)")
        return None
    matplotlib.use("agg")
    return importlib.import_module("matplotlib.pyplot")
