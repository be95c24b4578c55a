"""The application, drawn from its code, with counts from its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twofold.console.visits import Page, Visit
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.inspecting.drawing import Drawing, Node, NodeKind, drawing, mermaid

WIDTH, HEIGHT = 176.0, 34.0  # of a box
ACROSS, DOWN = 236.0, 48.0  # from box to box
SHORTEN = 24  # characters of a name that have room


def pages() -> Sequence[Page]:
    """The model."""
    return [Page("GET", "/model", show)]


class Box(NamedTuple):
    """A node, where it stands."""

    node: Node
    label: str
    x: float
    y: float


class Picture(NamedTuple):
    """The boxes in columns, and the lines between them."""

    boxes: Sequence[Box]
    paths: Sequence[str]
    width: float
    height: float


def picture(drawn: Drawing) -> Picture:
    """The drawing with places: a column for each kind, its boxes in the middle of the height."""
    columns = [[node for node in drawn.nodes if node.kind is kind] for kind in NodeKind]
    columns = [column for column in columns if column]
    tallest = max((len(column) for column in columns), default=0)
    boxes: dict[str, Box] = {}
    for number, column in enumerate(columns):
        top = (tallest - len(column)) * DOWN / 2 + 8
        for row, node in enumerate(column):
            label = node.name if len(node.name) <= SHORTEN else f"{node.name[: SHORTEN - 1]}…"
            boxes[node.id] = Box(node, label, number * ACROSS + 8, top + row * DOWN)
    paths: list[str] = []
    for edge in drawn.edges:
        one, other = boxes[edge.source], boxes[edge.target]
        x1, y1, x2, y2 = one.x + WIDTH, one.y + HEIGHT / 2, other.x, other.y + HEIGHT / 2
        middle = (x1 + x2) / 2
        paths.append(f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
    width = max(len(columns) - 1, 0) * ACROSS + WIDTH + 16
    return Picture(list(boxes.values()), paths, width, tallest * DOWN + 16)


async def show(visit: Visit) -> Response:
    """GET /model."""
    Parameters(visit.request, ()).check()
    drawn = await drawing(visit.inspection)
    return visit.page(
        "model.html",
        drawn=drawn,
        picture=picture(drawn),
        mermaid=mermaid(drawn),
        known=visit.inspection.model is not None,
    )
