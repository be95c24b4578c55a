"""CQRS and event sourcing for Python: one log of events, and two folds over it.

This package's own names are the words and the first fold. The rest is imported from its own room, so that nobody pays
for what they do not use: `twofold.connect` (a URL to a store), `twofold.views` (views in SQL), `twofold.middleware`,
`twofold.rebuild`, `twofold.http`, `twofold.testing`.
"""

from twofold.aggregate import Aggregate, Repository
from twofold.bus import CommandBus, Middleware, QueryBus
from twofold.codec import Codec, Schema
from twofold.decider import Category, Decider, Folded, Snapshots
from twofold.errors import Conflict, Fault, TwofoldError, ValidationFailed
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Command, Idempotency, Metadata, Query
from twofold.projection import Column, Projection, Source
from twofold.store import EventStore, Store

__all__ = [
    "Aggregate",
    "Category",
    "Codec",
    "Column",
    "Command",
    "CommandBus",
    "Conflict",
    "Decider",
    "EventStore",
    "Fault",
    "Folded",
    "Idempotency",
    "Metadata",
    "Middleware",
    "NewEvent",
    "Projection",
    "Query",
    "QueryBus",
    "Receipt",
    "Recorded",
    "Repository",
    "Schema",
    "Snapshots",
    "Source",
    "Store",
    "TwofoldError",
    "ValidationFailed",
]
