"""The model as a drawing: commands lead to deciders, deciders to events, events to views, views to queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from twofold.events import Recorded, category_of
from twofold.inspecting.inspection import Inspection, read_back_through
from twofold.model import source_of

COUNTED = 5_000
"""Events, the last of the log, that are counted by type."""


class NodeKind(StrEnum):
    """What a node stands for."""

    COMMAND = "command"
    DECIDER = "decider"
    EVENT = "event"
    VIEW = "view"
    QUERY = "query"


class Node(Struct, frozen=True, rename="camel"):
    """A part of the model. `count` is how many of the events counted were of this type, of an event only."""

    id: str
    kind: NodeKind
    name: str
    count: int | None = None


class Edge(Struct, frozen=True, rename="camel"):
    """What leads to what, by the ids of nodes."""

    source: str
    target: str


class Drawing(Struct, frozen=True, kw_only=True, rename="camel"):
    """The nodes in columns from left to right, and what leads from one to the next.

    Counts are of the last `counted` events of the log.
    """

    name: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    counted: int


async def drawing(inspection: Inspection) -> Drawing:
    """The application drawn from its model; without one, the types of events that the end of the log has."""
    counts: dict[tuple[str, str], int] = {}
    async for event in read_back_through(inspection.store, before=None, limit=COUNTED):
        if isinstance(event, Recorded):
            kind = (category_of(event.stream), event.type)
            counts[kind] = counts.get(kind, 0) + 1
    return _drawn(inspection, counts)


def _drawn(inspection: Inspection, counts: Mapping[tuple[str, str], int]) -> Drawing:
    model = inspection.model
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}

    def node(kind: NodeKind, name: str, *, within: str = "", count: int | None = None) -> str:
        id = f"{kind}:{within}:{name}" if within else f"{kind}:{name}"
        nodes.setdefault(id, Node(id, kind, name, count))
        return id

    for deciding in model.deciding if model is not None else ():
        category = deciding.category
        decider = node(NodeKind.DECIDER, category.name)
        for command in deciding.commands:
            edges[Edge(node(NodeKind.COMMAND, command.__name__), decider)] = None
        for name in category.codec.table:
            count = counts.get((category.name, name), 0)
            edges[Edge(decider, node(NodeKind.EVENT, name, within=category.name, count=count))] = None
    for (within, name), count in sorted(counts.items()):
        node(NodeKind.EVENT, name, within=within, count=count)
    for view in model.views if model is not None else ():
        target, source = node(NodeKind.VIEW, view.name), source_of(view)
        for category_name in sorted(source.categories) if source is not None else ():
            for name in source.codec.table if source is not None else ():
                count = counts.get((category_name, name), 0)
                edges[Edge(node(NodeKind.EVENT, name, within=category_name, count=count), target)] = None
    for query, views in model.queries.items() if model is not None else ():
        target = node(NodeKind.QUERY, query.__name__)
        for view in views:
            edges[Edge(node(NodeKind.VIEW, view.name), target)] = None
    order = list(NodeKind)
    return Drawing(
        name=model.name if model is not None else "",
        nodes=sorted(nodes.values(), key=lambda node: order.index(node.kind)),
        edges=list(edges),
        counted=sum(counts.values()),
    )


def mermaid(drawing: Drawing) -> str:
    """The drawing as the text of a Mermaid flowchart."""
    numbers = {node.id: f"n{number}" for number, node in enumerate(drawing.nodes)}
    shapes = {NodeKind.DECIDER: ("{{", "}}"), NodeKind.EVENT: ("([", "])"), NodeKind.VIEW: ("[(", ")]")}
    lines = ["flowchart LR"]
    for node in drawing.nodes:
        left, right = shapes.get(node.kind, ("[", "]"))
        name = re.sub(r"[^\w .:-]", lambda sign: f"#{ord(sign[0])};", node.name)
        lines.append(f'  {numbers[node.id]}{left}"{name}"{right}')
    lines += [f"  {numbers[edge.source]} --> {numbers[edge.target]}" for edge in drawing.edges]
    return "\n".join(lines) + "\n"
