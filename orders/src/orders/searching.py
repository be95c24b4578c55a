"""What a search of the orders asks for, read from a query string: of the API and of the order desk alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orders.cursors import Sort
from orders.domain import Status
from orders.queries import SearchOrders
from twofold.http.exchange import Request
from twofold.http.requests import Parameters

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
PARAMETERS = ("q", "customer", "status", "from", "to", "min", "max", "sort", "cursor", "limit")


def read_search(request: Request, currency: str) -> SearchOrders:
    """The search that a query string asks for. Raises ValidationFailed with every fault."""
    parameters = Parameters(request, PARAMETERS)
    query = SearchOrders(
        text=parameters.text("q"),
        customer_id=parameters.text("customer"),
        status=parameters.choice("status", "Status", Status),
        created_from=parameters.read("from", "From", "a date or a time (ISO 8601)", _moment),
        created_to=parameters.read("to", "To", "a date or a time (ISO 8601)", _end_of),
        least=parameters.amount("min", "Min"),
        most=parameters.amount("max", "Max"),
        sort=parameters.choice("sort", "Sort", Sort) or Sort.NEWEST,
        limit=parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT),
        cursor=parameters.text("cursor"),
        currency=currency,
    )
    parameters.check()
    return query


def _moment(text: str) -> datetime | None:
    """A date (its beginning) or a time; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _end_of(text: str) -> datetime | None:
    """A date (its end) or a time; UTC where it names no zone."""
    moment = _moment(text)
    if moment is None or len(text) > len("2026-11-23"):
        return moment
    try:
        return moment + timedelta(days=1, microseconds=-1)
    except OverflowError:
        return None
